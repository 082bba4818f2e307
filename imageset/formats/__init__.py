"""What programs hand to each other: tables, HDF5 files, images. Start with tables.py."""
