"""What a simple classifier can learn from the dataset. Start with hog_features.py."""
