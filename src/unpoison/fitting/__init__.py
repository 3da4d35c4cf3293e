"""Training of diffusion models, denoisers and energy models."""
