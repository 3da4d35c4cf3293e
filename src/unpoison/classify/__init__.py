"""Classifiers at 32 pixels, how they are trained, and what training can do against poison."""
