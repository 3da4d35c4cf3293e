"""Purifiers, one file each, and the runner that takes a set through one."""
