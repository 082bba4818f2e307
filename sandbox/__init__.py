"""A real database, S3 server and photo host, with a marketplace. Start with __main__.py."""
