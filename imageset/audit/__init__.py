"""What looks wrong in the data: methods that report and reject nothing. Start with labels.py."""
