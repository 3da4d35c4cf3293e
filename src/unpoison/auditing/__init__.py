"""Audits: whether a set looks poisoned, how, where, and what to do about it."""
