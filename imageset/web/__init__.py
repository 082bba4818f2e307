"""Ingest: download photos behind untrusted URLs. Start with fetch_photos.py."""
