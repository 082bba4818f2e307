"""`python -m tools.suspects`: suspects as rows to edit, and edited rows as corrections. Start with command.py."""
