"""The rows of dataset.h5: augment, render and check them. Start with render.py."""
