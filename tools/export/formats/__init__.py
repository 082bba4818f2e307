"""A module for each format, found by its name; tools/export/format.py says what such a module must have."""
