"""Grids of trials: attacks x defences x seeds, each run once and recorded."""
