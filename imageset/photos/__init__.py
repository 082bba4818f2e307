"""From bytes to pixels, masks, thumbnails and hashes. Start with preprocess.py."""
