"""Small pictures side by side, as one PNG inside a page."""

from __future__ import annotations

import numpy as np


def tile_row(images: np.ndarray, *, zoom: int) -> np.ndarray:
    """Images of one size in a row with a white pixel between them, enlarged without smoothing.

    Args:
        images: [N, H, W, 3] uint8.
        zoom: screen pixels per pixel.

    Returns:
        [H * zoom, W', 3] uint8.
    """
    space = np.full((images.shape[1], 1, 3), 255, np.uint8)
    parts = [part for image in images for part in (image, space)][:-1]
    return np.concatenate(parts, axis=1).repeat(zoom, axis=0).repeat(zoom, axis=1)


def amplify_difference(after: np.ndarray, before: np.ndarray, *, factor: float) -> np.ndarray:
    """What changed: grey where nothing did, brighter and darker by `factor` times the change.

    Args:
        after: [..., 3] uint8.
        before: same shape.
        factor: how many times the difference is enlarged.

    Returns:
        Same shape, uint8.
    """
    change = after.astype(np.float64) - before
    shown: np.ndarray = np.clip(np.rint(128 + factor * change), 0, 255).astype(np.uint8)
    return shown
