"""A set through a purifier: blocks, journal, resume, engines."""
