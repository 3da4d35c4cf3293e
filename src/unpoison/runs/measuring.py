"""Measures of a change: how much a picture was changed, how much of that is fine, how much fine structure it had."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_CHUNK = 2**20  # values at a time, so that a large picture does not take eight times its memory
_SHORT = 2**14  # the same where there are many steps: they stay near the processor
_FAINT = 4.0 * 32**2  # square of a detail; what is far stronger is told from noise by any purifier, and left there


class Change(NamedTuple):
    """The change of a picture, in 8-bit levels, rounded to float32.

    Args:
        all_255: root mean square over its RGB values.
        fine_255: of what differs from pixel to pixel in it: half of a - b - c + d of every square of four neighbours;
            white noise of so many levels would have as much.
        texture_255: the same of the picture as it was, where nothing counts more than 32 levels. It tells beforehand
            how much of a clean picture is lost.
    """

    all_255: float
    fine_255: float
    texture_255: float


def measure_change(before: np.ndarray, after: np.ndarray) -> Change:
    """Compare two pictures, [H, W, 3] uint8 each."""
    fine, texture, count = 0.0, 0, 0
    rows = max(1, _SHORT // before[0].size)
    for start in range(0, len(before) - 1, rows):
        part = slice(start, start + rows + 1)
        old = before[part].astype(np.int16)
        changed = _details(after[part] - old).astype(np.float64).reshape(-1)
        there = np.square(_details(old), dtype=np.float32)
        fine += float(changed @ changed)
        texture += int((_FAINT - _FAINT**2 / (there + _FAINT)).astype(np.int32).sum(dtype=np.int64))
        count += changed.size
    fine_255, texture_255 = (float(np.float32(np.sqrt(total / max(1, 4 * count)))) for total in (fine, texture))
    return Change(_root_mean_square(before, after), fine_255, texture_255)


def _root_mean_square(before: np.ndarray, after: np.ndarray) -> float:
    """Of the difference of two uint8 arrays of one shape, in levels, rounded to float32."""
    old, new = before.reshape(-1), after.reshape(-1)
    total = 0.0
    for start in range(0, old.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        difference = np.subtract(new[part], old[part], dtype=np.float64)
        total += float(difference @ difference)  # whole numbers below 2^53: exact, in whatever order they are added
    return float(np.float32(np.sqrt(total / old.size)))


def _details(values: np.ndarray) -> np.ndarray:
    """[H, W, 3] to [H - 1, 3 (W - 1)] int16: a - b - c + d of every square of four neighbouring pixels."""
    flat = values.reshape(len(values), -1)
    down = flat[1:] - flat[:-1]
    details: np.ndarray = down[:, 3:] - down[:, :-3]
    return details
