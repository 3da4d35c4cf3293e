"""Proxy: what a purifier is worth on a poison whose clean pictures are known, told without training on what it leaves.

For choosing settings: three trainings take minutes for 2,500 small pictures and differ by points between seeds; this
takes seconds and has no seed of its own. How its cost ranks 35 cells, against accuracy after training: results/proxy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unpoison.classify.classifier import Classifier, features
from unpoison.core.errors import SettingsError
from unpoison.core.noise import generator
from unpoison.core.pixels import to_float
from unpoison.core.records import Metric
from unpoison.scoring.patches import patch_filters
from unpoison.scoring.probes import linear_separability
from unpoison.scoring.ridge import fit_ridge

# Points of accuracy lost for a unit of each, by least squares over the 35 cells of results/proxy: small nets on 2,500
# pictures of CIFAR-10. Other trainings lose other amounts; the order of settings is what this is for.
FEATURE_COST = 8.9
SHORTCUT_COST = 171.0

_FILTERS = 192
_PICTURES = 400  # that filters are taken from
_RIDGE = 0.3  # times the mean squared length of the answers
_CALL = 16  # what is in between stays in the cache of the processor
_FEATURES_CALL = 250


@dataclass(frozen=True)
class Proxy:
    """What purification leaves of a poison, and what it does to clean pictures.

    Args:
        readability: share of differences between purified poisoned and purified clean pictures whose class a linear
            probe names that was fitted on others. How strong they are is not in it: what is read without error may be
            too weak to be learned.
        shortcut: how much better a probe that was fitted on purified poisoned pictures names such pictures than clean
            ones, as a share of them: what it reads that is not there by nature. At least 0.
        pixel_error: root of the mean squared difference between purified clean and clean pictures, in levels of 255.
        feature_error: mean distance between a classifier's features of both, over the mean distance of features of
            clean pictures from their centre.
    """

    readability: Metric
    shortcut: float
    pixel_error: float
    feature_error: float

    @property
    def cost(self) -> float:
        """Points of accuracy that a training on the purified set is foretold to lose; settings with less are better."""
        return FEATURE_COST * self.feature_error + SHORTCUT_COST * self.shortcut


def measure_proxy(
    clean: np.ndarray, purified: np.ndarray, poisoned: np.ndarray, labels: np.ndarray, *, classifier: Classifier
) -> Proxy:
    """Measure one purifier on one poison.

    The probe of the shortcut is ridge regression on how strongly random patches of the clean pictures answer: the mean
    and the maximum over each picture, so that, as in a training with random crops, it hardly matters where something
    is; it is fitted on one half of the pictures and their mirror images, and scored on the other half, both ways round.

    Args:
        clean: [N, H, W, 3] uint8, sides of at least 5.
        purified: the same pictures, purified.
        poisoned: the same pictures, poisoned and then purified alike.
        labels: [N] class indices; pictures below 0 are left out.
        classifier: trained on clean pictures that are not among these, in evaluation mode, on the CPU.

    Raises:
        SettingsError: the arrays do not match, or there are fewer than two labelled pictures.
    """
    if clean.shape != purified.shape:
        raise SettingsError(f"clean pictures {list(clean.shape)} and purified ones {list(purified.shape)} must match")
    readability = linear_separability(purified, poisoned, labels)
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] >= 0]
    clean, purified, poisoned, labels = (part[order] for part in (clean, purified, poisoned, labels))
    error = np.sqrt(np.mean((purified.astype(np.float32) - clean) ** 2))
    natural = _features(classifier, clean)
    spread = (natural - natural.mean(dim=0)).norm(dim=1).mean().clamp(min=1e-12)
    moved = (_features(classifier, purified) - natural).norm(dim=1).mean()
    return Proxy(readability, _shortcut(clean, poisoned, labels), float(error), float(moved / spread))


def _features(classifier: Classifier, images: np.ndarray) -> Tensor:
    """[N, D]: what goes into the last layer."""
    starts = range(0, len(images), _FEATURES_CALL)
    with torch.inference_mode():
        return torch.cat([features(classifier, to_float(images[start : start + _FEATURES_CALL])) for start in starts])


def _shortcut(clean: np.ndarray, poisoned: np.ndarray, labels: np.ndarray) -> float:
    """Pictures are in the order of their classes, so that every second one is half of each class."""
    shown, chance = to_float(clean), generator(0, "proxy.patches")
    filters, offsets = patch_filters(
        shown[torch.randperm(len(shown), generator=chance)[:_PICTURES]], _FILTERS, generator=chance
    )
    left = to_float(poisoned)
    natural, given, mirrored = (_answers(images, filters, offsets) for images in (shown, left, left.flip(3)))
    numbers = torch.from_numpy(np.unique(labels, return_inverse=True)[1])
    targets = F.one_hot(numbers).float()
    more = 0
    for fold in (0, 1):
        known = torch.cat([given[fold::2], mirrored[fold::2]])
        wanted = targets[fold::2].repeat(2, 1)
        centre, scale = known.mean(dim=0), known.std(dim=0).clamp(min=1e-6) * known.shape[1] ** 0.5
        weights, _ = fit_ridge((known - centre) / scale, wanted - wanted.mean(dim=0), [_RIDGE])
        right = [
            ((((images[1 - fold :: 2] - centre) / scale @ weights) + wanted.mean(dim=0)).argmax(dim=1))
            == numbers[1 - fold :: 2]
            for images in (given, natural)
        ]
        more += int(right[0].sum() - right[1].sum())
    return max(0.0, more / len(labels))


def _answers(images: Tensor, filters: Tensor, offsets: Tensor) -> Tensor:
    """[N, 4 * filters]: mean and maximum over a picture of what each filter answers, positive and negative apart."""
    answers = []
    for start in range(0, len(images), _CALL):
        shown = images[start : start + _CALL].contiguous(memory_format=torch.channels_last)
        answer = F.conv2d(shown, filters, -offsets).flatten(2)
        parts = [part for sign in (answer, -answer) for part in (sign.clamp(min=0).mean(2), sign.amax(2).clamp(min=0))]
        answers.append(torch.cat(parts, dim=1))
    return torch.cat(answers)
