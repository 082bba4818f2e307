"""Take a product down. Start with __main__.py."""
