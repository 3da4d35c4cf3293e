"""Data sets in the layout of those who publish them."""
