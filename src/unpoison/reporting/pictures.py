"""Small pictures side by side, as one PNG inside a page."""

from __future__ import annotations

import numpy as np

_SMOOTH = np.exp(-0.5 * (np.arange(-5, 6) / 2) ** 2)  # a Gaussian of two pixels
_SMOOTH /= _SMOOTH.sum()


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
    return around_grey(after.astype(np.float64) - before, factor=factor)


def around_grey(change: np.ndarray, *, factor: float) -> np.ndarray:
    """A change in levels, [...], as uint8: grey where there is none, brighter and darker by `factor` times it."""
    shown: np.ndarray = np.clip(np.rint(128 + factor * change), 0, 255).astype(np.uint8)
    return shown


def smooth_part(change: np.ndarray) -> np.ndarray:
    """What varies slowly in a change: the mean over some five pixels each way.

    Args:
        change: [H, W, 3], in levels.

    Returns:
        Same shape, float64.
    """
    for axis in (0, 1):
        reach = len(_SMOOTH) // 2
        wide = np.pad(change, [(reach, reach) if axis == one else (0, 0) for one in range(3)], mode="symmetric")
        length = change.shape[axis]
        change = sum(
            weight * wide.take(range(start, start + length), axis=axis) for start, weight in enumerate(_SMOOTH)
        )
    return change
