"""Build and check dataset.h5: which rows, how they are augmented and written. Start with write.py, or verify.py."""
