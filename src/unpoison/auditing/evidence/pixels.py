"""Single pixels: a colour that a class has at one place far more often than the others do."""

from __future__ import annotations

import numpy as np

from unpoison.auditing.evidence.protocol import Evidence
from unpoison.auditing.views import View

_NEAR = 2  # levels from black or white, for what was compressed
_NOT_PURE = np.uint8(8)


def measure(view: View) -> Evidence:
    """The most improbable (class, place, pure colour): how many more of a class have it than of the others."""
    low, high = view.images <= _NEAR, view.images >= 255 - _NEAR
    pure = (low | high).all(axis=3)
    colour = (high * np.array([4, 2, 1], np.uint8)).sum(axis=3, dtype=np.uint8)
    code = np.where(pure, colour, _NOT_PURE)  # [N, H, W]
    surprise = np.zeros(view.classes, np.float32)
    images = np.zeros(len(view), np.float32)
    members = [np.flatnonzero(view.labels == label) for label in range(view.classes)]
    shares = np.stack([_shares(code[rows]) for rows in members])  # [K, 8, H, W]
    for number in range(8):
        share = shares[:, number]
        for label, rows in enumerate(members):
            others = (share.sum(axis=0) - share[label]) / max(view.classes - 1, 1)
            # neighbours: what is natural at one place is natural beside it
            near = np.stack([np.roll(share[label], shift, axis) for axis in (0, 1) for shift in (-1, 1)]).max(axis=0)
            expected = np.maximum(others, near) + 1 / len(rows)
            z = (share[label] - expected) / np.sqrt(expected * (1 - expected).clip(1e-6) / len(rows))
            place = np.unravel_index(z.argmax(), z.shape)
            surprise[label] = max(surprise[label], z[place])
            images[rows] = np.maximum(images[rows], np.where(code[rows, place[0], place[1]] == number, z[place], 0))
    values = {"pixel": float(surprise.max()), "pixel_mean": float(surprise.mean())}
    return Evidence(values, images, surprise)


def _shares(code: np.ndarray) -> np.ndarray:
    """[8, H, W]: which share of some pictures has each pure colour at each place."""
    picture, *place = np.nonzero(code != _NOT_PURE)
    counts = np.zeros((8, *code.shape[1:]), np.int64)
    np.add.at(counts, (code[picture, *place], *place), 1)
    return counts / len(code)
