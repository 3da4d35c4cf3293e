"""Figures with their definition, denominator and interval."""
