"""Training of diffusion models on clean images."""
