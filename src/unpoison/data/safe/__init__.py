"""Every reader of a stranger's bytes. No file runs code."""
