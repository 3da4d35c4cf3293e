"""Image sets, noise, settings, errors, hashes, records: shared by every room. Knows nothing above it."""
