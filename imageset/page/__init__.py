"""Builds the page that people decide and work with: one HTML file that asks for nothing. Start with assemble.py."""
