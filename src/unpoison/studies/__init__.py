"""Measurements over purifiers."""
