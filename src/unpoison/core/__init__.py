"""What every room shares: image sets, noise, settings, errors, hashes, records. Knows nothing above it."""
