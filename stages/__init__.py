"""One script for each stage of dvc.yaml. Start with split.py."""
