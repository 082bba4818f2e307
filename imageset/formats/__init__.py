"""The files between programs: tables, HDF5 files, the images in them. Start with tables.py, or hdf5.py."""
