"""What a simple classifier can learn from the dataset. Start with linear_discriminant.py."""
