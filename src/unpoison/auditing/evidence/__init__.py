"""Evidence: what may be measured of a set, one kind a file."""
