"""Turn bytes into masks, pixels, thumbnails and hashes. Start with masks.py."""
