"""Duplicates: pictures that are nearly the same but for something faint, within a class and across classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unpoison.auditing.evidence.protocol import Evidence
from unpoison.auditing.views import View

_SIDE = 8  # pixels: coarse enough that nothing faint is left
_SAME = 0.15  # distance below which two pictures are nearly the same: in CIFAR-10 each such pair shows the same thing
_CONTRAST = 8 / 255  # below which a picture has nothing to know it by
_CALL = 1000


@dataclass(frozen=True)
class Duplicates:
    """The nearest other picture of each, where it is nearly the same.

    Args:
        distances: [N] float32, root mean square of what differs over that of the contrast; infinite where none is near.
        nearest: [N] int64, its row; -1 where none is near.
    """

    distances: np.ndarray
    nearest: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """[N] bool: pictures that have a near-duplicate."""
        found: np.ndarray = self.nearest >= 0
        return found


def measure(view: View) -> Evidence:
    """Shares of the pictures that are nearly the same as another, of any class and of another class."""
    same = find_duplicates(view.images)
    across = same.found & (view.labels != view.labels[same.nearest])
    values = {"share": float(same.found.mean()), "across": float(across.mean())}
    classes = np.bincount(view.labels, same.found, view.classes) / np.bincount(view.labels, minlength=view.classes)
    images = np.where(same.found, 1 - same.distances / _SAME, 0)
    return Evidence(values, images.astype(np.float32), classes.astype(np.float32))


def find_duplicates(images: np.ndarray) -> Duplicates:
    """Every pair that is nearly the same; flat pictures, which are all alike, have none.

    Pictures are sorted along the direction in which they differ most. Two that are near each other are near along it,
    so each block is compared with few others, and no pair is missed.

    Args:
        images: [N, H, W, 3] uint8.
    """
    features, shown = _coarse(images)
    along = features @ _widest(features)
    order = along.argsort()
    features, along, rows = features[order], along[order], shown[order.numpy()]
    distances, nearest = np.full(len(images), np.inf, np.float32), np.full(len(images), -1)
    for start in range(0, len(rows), _CALL):
        block = slice(start, min(start + _CALL, len(rows)))
        reach = torch.stack([along[block.start] - _SAME, along[block.stop - 1] + _SAME])
        low, high = (int(end) for end in torch.searchsorted(along, reach))
        alike = features[block] @ features[low:high].T
        alike[torch.arange(block.stop - start), torch.arange(start, block.stop) - low] = -1  # itself
        most = alike.max(dim=1)
        apart = (2 - 2 * most.values).clamp(min=0).sqrt().numpy()
        near = apart < _SAME
        distances[rows[block][near]] = apart[near]
        nearest[rows[block][near]] = rows[low + most.indices.numpy()[near]]
    return Duplicates(distances, nearest)


def _coarse(images: np.ndarray) -> tuple[Tensor, np.ndarray]:
    """[n, D] float32 of length 1: 8x8 pixels without their mean and contrast; and the rows that have contrast."""
    parts = []
    for start in range(0, len(images), _CALL):
        planes = torch.from_numpy(images[start : start + _CALL]).permute(0, 3, 1, 2).float()
        parts.append(F.adaptive_avg_pool2d(planes, _SIDE).flatten(1).div_(255))
    features = torch.cat(parts)
    features -= features.mean(dim=1, keepdim=True)
    shown = features.pow(2).mean(dim=1).sqrt() > _CONTRAST
    return F.normalize(features[shown]), np.flatnonzero(shown.numpy())


def _widest(features: Tensor) -> Tensor:
    """[D] the direction in which they differ most."""
    centred = features - features.mean(dim=0)
    vectors: Tensor = torch.linalg.eigh(centred.T @ centred).eigenvectors
    return vectors[:, -1]
