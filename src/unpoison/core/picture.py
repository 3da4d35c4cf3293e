"""One decoded picture, and how it was stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from unpoison.core.notes import Note

# What stands after the mode of a picture of which something was left out or converted.
PROFILE, FRAMES = ", colour profile", ", first frame"
_TOLD = {
    PROFILE: "pictures converted from their own colour profile to sRGB",
    FRAMES: "pictures of several frames, of which the first was taken",
}


@dataclass(frozen=True)
class Picture:
    """One decoded picture.

    Args:
        rgb: [H, W, 3] uint8.
        mode: how it was stored: `RGB`, or `L`, `LA`, `P`, `RGBA`, `CMYK`, ... if it was converted; after it
            `FRAMES`, if it had several, and `PROFILE`, if its colours were converted from one of their own to sRGB.
        alpha: [H, W] uint8 transparency, kept aside.
    """

    rgb: np.ndarray
    mode: str = "RGB"
    alpha: np.ndarray | None = None

    @property
    def is_grey(self) -> bool:
        """Whether it was stored without colours: in grey, in one bit, or by a palette of greys."""
        stored = self.mode.partition(",")[0]
        if stored not in ("P", "PA"):
            return stored in ("L", "LA", "1")
        red, green, blue = (self.rgb[..., channel] for channel in range(3))
        return np.array_equal(red, green) and np.array_equal(red, blue)

    def restore(self, rgb: np.ndarray) -> np.ndarray:
        """Bring a purified picture back into the channels it came with.

        Args:
            rgb: [H, W, 3] uint8.

        Returns:
            [H, W, C] uint8: C = 1 for grey (the mean of the three), 3 for colour, one more with transparency.
        """
        if self.is_grey:
            rgb = np.rint(rgb.mean(axis=2, keepdims=True)).astype(np.uint8)
        return rgb if self.alpha is None else np.concatenate([rgb, self.alpha[..., None]], axis=2)


def note_modes(modes: Mapping[str, int]) -> tuple[Note, ...]:
    """What is to be said of pictures that were converted or cut.

    Args:
        modes: how many pictures were stored in each mode.
    """
    counts = {what: sum(count for mode, count in modes.items() if mark in mode) for mark, what in _TOLD.items()}
    return tuple(Note(what, count) for what, count in counts.items() if count)
