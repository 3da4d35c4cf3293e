"""D-VAE: the only purifier that learns from the set it purifies."""
