"""Published attacks, one file each, and the function that applies them to a set."""
