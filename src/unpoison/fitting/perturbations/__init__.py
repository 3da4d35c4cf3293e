"""Perturbations that a denoiser is taught to remove: general families, drawn anew for every batch."""
