"""Which photos belong together, and which class each has. Start with groups.py."""
