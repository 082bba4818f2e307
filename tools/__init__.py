"""Programs that people and CI run. Start with verify.py."""
