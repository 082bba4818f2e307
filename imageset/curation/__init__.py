"""Which photos belong together, which class each has, and its subset. Start with groups.py."""
