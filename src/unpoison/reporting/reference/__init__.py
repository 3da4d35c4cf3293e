"""The reference systems' own tables and files, written and read."""
