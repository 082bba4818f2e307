"""Listings, photos and labels become one versioned dataset. Each wing says what it is for: see ARCHITECTURE.md."""
