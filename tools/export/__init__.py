"""`python -m tools.export`: dataset.h5 or processed.h5 in the format of another tool. Start with write.py."""
