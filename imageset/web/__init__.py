"""Ingest: download photos behind untrusted URLs. Start with download.py."""
