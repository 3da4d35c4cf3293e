"""Energies: how unnatural an energy model finds a picture, against what is left of it without its noise."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from unpoison.auditing.evidence.protocol import Evidence
from unpoison.auditing.textures import texture_features
from unpoison.auditing.views import View
from unpoison.core.images import ArrayImageSet
from unpoison.purifiers.energies import measure_energies
from unpoison.purifiers.weights import load_energy
from unpoison.scoring.ridge import fit_ridge

_MODEL = "ebm-small"
_RIDGES = (0.1,)  # times the mean squared length of the features


def measure(view: View) -> Evidence:
    """How much of the energies the class says, and how much texture explains; what the noise of a picture adds to its.

    Natural texture has a high energy too, but keeps it when the denoiser takes the noise away: what a picture loses
    tells poisoned ones better than its energy does. Only the pictures that probes learn from are measured; the others
    get the median.

    References:
        Bhat et al., PureGen, 2024, https://arxiv.org/abs/2405.18627
    """
    rows, labels = view.fitted, view.labels[view.fitted]
    energies = _energies(view.images[rows])
    added = energies - _energies((view.images[rows] - view.residuals[rows]).astype(np.uint8))
    textures = texture_features(lambda some: view.pixels(rows[some]), len(rows))
    values = {
        "by_class": share_of_class(energies, labels),
        "added_by_class": share_of_class(added, labels),
        "texture": explained(textures, energies),
    }
    images = np.full(len(view), np.median(added), np.float32)
    images[rows] = added
    classes = np.array(
        [
            np.median(images[rows[labels == label]]) if (labels == label).any() else np.median(added)
            for label in range(view.classes)
        ],
        np.float32,
    )
    return Evidence(values, images, classes)


def _energies(images: np.ndarray) -> np.ndarray:
    device = torch.device("cpu")
    model, _ = load_energy(_MODEL, method="energies", precision="fp32", device=device)
    return measure_energies(ArrayImageSet(images, np.zeros(len(images), np.int64)), model, device=device)


def share_of_class(values: np.ndarray, labels: np.ndarray) -> float:
    """Between-class share of the variance, less what classes drawn at random would have."""
    present, own, counts = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.bincount(own, values) / counts
    share = means[own].var() / max(values.var(), 1e-12)
    chance = (len(present) - 1) / max(len(values) - 1, 1)
    return float((share - chance) / (1 - chance)) if chance < 1 else 0.0


def explained(features: Tensor, values: np.ndarray) -> float:
    """Share of the variance that ridge regression foretells, each picture left out in turn; 0 if none."""
    known = features - features.mean(dim=0)
    known = known / known.pow(2).sum(dim=1).mean().sqrt().clamp(min=1e-12)
    target = torch.from_numpy(values - values.mean())[:, None]
    _, foretold = fit_ridge(known, target, _RIDGES)
    return float((1 - (target - foretold).pow(2).mean() / target.pow(2).mean().clamp(min=1e-12)).clamp(min=0))
