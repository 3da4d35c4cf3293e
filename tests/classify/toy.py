"""A problem that a small net learns in seconds: three classes told apart by colour, under strong noise."""

from __future__ import annotations

import numpy as np

from unpoison.core.images import ArrayImageSet

COLOURS = np.array([[150, 110, 110], [110, 150, 110], [110, 110, 150]])


def toy_set(count: int, *, side: int = 8, seed: int = 0) -> ArrayImageSet:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    noise = rng.normal(0, 25, (count, side, side, 3))
    images = np.clip(COLOURS[labels][:, None, None, :] + noise, 0, 255).astype(np.uint8)
    return ArrayImageSet(images, labels, class_names=["red", "green", "blue"], name="toy")
