"""The marketplace's database, read only, and the bucket of photos. Start with bucket.py."""
