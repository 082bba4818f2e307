"""Try everything that `dvc repro` needs, in ten seconds and before the first photo. Start with command.py."""
