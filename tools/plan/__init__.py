"""What `dvc repro` is about to do, and how long that takes. Start with command.py."""
