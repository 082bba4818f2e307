"""Work on many cores or machines, with results in input order. Start with ordered_map.py."""
