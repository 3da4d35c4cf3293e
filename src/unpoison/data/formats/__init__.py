"""The formats of sets that any tool writes."""
