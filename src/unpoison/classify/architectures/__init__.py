"""Networks that classify."""
