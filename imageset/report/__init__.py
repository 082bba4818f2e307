"""The pictures that people look at. Start with plots.py."""
