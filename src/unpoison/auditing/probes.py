"""Probes: how well the class of a picture is read from some features of it, out of fold, by ridge regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

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

    References:
        Allen, The relationship between variable selection and data augmentation and a method for prediction, 1974.
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


def fit_ridge(known: Tensor, targets: Tensor, ridges: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Ridge regression, with the ridge of a few that has the least error when each row is left out in turn.

    Args:
        known: [n, D] float32, centred.
        targets: [n, K] float32, centred.
        ridges: added to the squares of all directions.

    Returns:
        The weights [D, K], and what is foretold of each row when it is left out, [n, K].
    """
    wide = known.shape[1] > known.shape[0]
    gram = known @ known.T if wide else known.T @ known
    best: tuple[float, Tensor, Tensor] | None = None
    for ridge in ridges:
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram + ridge * torch.eye(len(gram))))
        if wide:  # residuals left out: (inverse Y) / diagonal(inverse)
            solved = inverse @ targets
            left_out = targets - solved / inverse.diagonal()[:, None]
            weights = known.T @ solved
        else:
            weights = inverse @ (known.T @ targets)
            leverage = ((known @ inverse) * known).sum(dim=1, keepdim=True)
            left_out = targets - (targets - known @ weights) / (1 - leverage).clamp(min=1e-6)
        error = float((targets - left_out).pow(2).mean())
        if best is None or error < best[0]:
            best = error, weights, left_out
    assert best is not None
    return best[1], best[2]
