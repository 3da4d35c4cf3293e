"""Audits: evidence that a set is poisoned, measured and not yet judged."""
