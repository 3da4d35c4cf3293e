"""Defences at train time, one file each, listed in `methods`."""
