"""The figures and pictures that people look at. Start with figures.py, or plots.py."""
