"""Probes: how well the class of a picture is read from some features of it, out of fold, by ridge regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unpoison.scoring.ridge import fit_ridge

_RIDGES = (0.1, 1.0, 10.0)  # times the mean squared length of the features


@dataclass(frozen=True)
class Reading:
    """What a probe says of each picture, never having seen its label.

    Args:
        scores: [N, K] float32; the class with the highest is the one it names.
        labels: [N] the classes.
    """

    scores: np.ndarray
    labels: np.ndarray

    @property
    def accuracy(self) -> float:
        """Share of pictures whose class is named."""
        return float((self.scores.argmax(axis=1) == self.labels).mean())

    @property
    def advantage(self) -> float:
        """Accuracy above always naming the largest class, as a share of what there is to gain: at most 1."""
        chance = float(np.bincount(self.labels).max() / len(self.labels))
        return (self.accuracy - chance) / (1 - chance) if chance < 1 else 0.0

    @property
    def margins(self) -> np.ndarray:
        """[N] score of the own class less the highest other, in standard deviations of the others' scores."""
        own = self.scores[np.arange(len(self.labels)), self.labels]
        others = self.scores.copy()
        others[np.arange(len(self.labels)), self.labels] = -np.inf
        spread = float(self.scores[np.arange(self.scores.shape[1]) != self.labels[:, None]].std())
        margins: np.ndarray = (own - others.max(axis=1)) / max(spread, 1e-6)
        return margins


def read_classes(features: Tensor, labels: np.ndarray, fitted: np.ndarray) -> Reading:
    """Fit a linear probe, and score every picture by one that was fitted without it.

    The pictures that it is fitted on are scored by leaving each out, for which ridge regression has a closed form;
    the ridge is the one of a few with the least error so.

    Args:
        features: [N, D] float32.
        labels: [N] class indices.
        fitted: rows to fit on.
    """
    targets = F.one_hot(torch.from_numpy(labels[fitted]).long(), int(labels.max()) + 1).float()
    mean_target = targets.mean(dim=0)
    targets = targets - mean_target
    known = features[torch.from_numpy(fitted)]
    centre = known.mean(dim=0)
    known = known - centre
    scale = known.pow(2).sum(dim=1).mean().sqrt().clamp(min=1e-12)
    known = known / scale
    weights, left_out = fit_ridge(known, targets, _RIDGES)
    scores = torch.empty(len(labels), targets.shape[1])
    for start in range(0, len(labels), 4096):
        rows = slice(start, start + 4096)
        scores[rows] = (features[rows] - centre) / scale @ weights
    scores[torch.from_numpy(fitted)] = left_out
    return Reading((scores + mean_target).numpy(), labels)
