"""Single pixels: a colour that a class has at one place far more often than the others do."""

from __future__ import annotations

import numpy as np

from unpoison.auditing.evidence.protocol import Evidence
from unpoison.auditing.views import View

_NEAR = 2  # levels from black or white, for what was compressed


def measure(view: View) -> Evidence:
    """The most improbable (class, place, pure colour): how many more of a class have it than of the others."""
    low, high = view.images <= _NEAR, view.images >= 255 - _NEAR
    pure = (low | high).all(axis=3)
    colour = (high * np.array([4, 2, 1])).sum(axis=3)
    code = np.where(pure, colour, -1).astype(np.int8)  # [N, H, W]
    surprise = np.zeros(view.classes, np.float32)
    images = np.zeros(len(view), np.float32)
    members = [np.flatnonzero(view.labels == label) for label in range(view.classes)]
    for number in range(8):
        shown = code == number
        share = np.stack([shown[rows].mean(axis=0) for rows in members])  # [K, H, W]
        for label, rows in enumerate(members):
            others = (share.sum(axis=0) - share[label]) / max(view.classes - 1, 1)
            # neighbours: what is natural at one place is natural beside it
            near = np.stack([np.roll(share[label], shift, axis) for axis in (0, 1) for shift in (-1, 1)]).max(axis=0)
            expected = np.maximum(others, near) + 1 / len(rows)
            z = (share[label] - expected) / np.sqrt(expected * (1 - expected).clip(1e-6) / len(rows))
            place = np.unravel_index(z.argmax(), z.shape)
            surprise[label] = max(surprise[label], z[place])
            images[rows] = np.maximum(images[rows], np.where(shown[rows][:, place[0], place[1]], z[place], 0))
    values = {"pixel": float(surprise.max()), "pixel_mean": float(surprise.mean())}
    return Evidence(values, images, surprise)
