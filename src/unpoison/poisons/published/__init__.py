"""Poisons as others publish them, one file each, and the function that lays them over a clean set."""
