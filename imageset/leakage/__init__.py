"""How many copies of a photo the search for duplicates misses. Start with copies.py."""
