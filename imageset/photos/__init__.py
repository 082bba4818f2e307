"""Turn bytes into pixels, masks, thumbnails and hashes. Start with preprocess.py."""
