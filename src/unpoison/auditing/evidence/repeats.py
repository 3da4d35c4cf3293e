"""Repeats: one perturbation that many pictures of a class carry, as a trigger is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unpoison.auditing.evidence.protocol import Evidence
from unpoison.auditing.views import View

_CARRIERS = 5  # pictures of a half that must carry the same
_STARTS = 32
_ROUNDS = 3
_MEMBERS = 5000  # of a class that are compared with each other


@dataclass(frozen=True)
class Repeats:
    """What was found in each class.

    Args:
        surprise: [K] float32, how many standard deviations the carriers in one half answer above those of other
            classes, to what was sought in the other half; 0 for a class too small to be halved.
        images: [N] float32, how strongly each picture answers.
    """

    surprise: np.ndarray
    images: np.ndarray


def measure(view: View) -> Evidence:
    """One perturbation on many pictures of a class, wherever in the residuals it is."""
    found = repeats(view.white, view.labels)
    values = {"repeat": float(np.median(found.surprise)), "repeat_max": float(found.surprise.max())}
    return Evidence(values, found.images, found.surprise)


def repeats(white: Tensor, labels: np.ndarray) -> Repeats:
    """For each half of a class, seek the perturbation that some of its pictures carry, and look for it in the other.

    Args:
        white: [N, 3, H, W] float32, whitened residuals.
        labels: [N] classes.
    """
    flat = F.normalize(white.flatten(1))
    flat = F.normalize(flat.sub_(flat.mean(dim=0)))
    generator = np.random.default_rng(0)
    images = np.zeros(len(labels), np.float32)
    surprise = np.zeros(int(labels.max()) + 1, np.float32)
    for label in range(len(surprise)):
        members = generator.permutation(np.flatnonzero(labels == label))
        others = generator.permutation(np.flatnonzero(labels != label))[: min(len(members), _MEMBERS)]
        rows, rest = members[:_MEMBERS], members[_MEMBERS:]
        if len(rows) < 4 * _CARRIERS or len(others) < len(rows) // 2:
            continue
        halves, strangers = np.array_split(rows, 2), np.array_split(others, 2)
        for sought, judged in ((0, 1), (1, 0)):
            found = _carried(flat[torch.from_numpy(halves[sought])], flat[torch.from_numpy(strangers[sought])])
            strange = flat[torch.from_numpy(strangers[judged])] @ found
            shown = np.concatenate([halves[judged], rest]) if judged else halves[judged]
            answers = (flat[torch.from_numpy(shown)] @ found - strange.mean()) / strange.std().clamp(min=1e-6)
            expected = _first((strange - strange.mean())[:, None]) / strange.std().clamp(min=1e-6)
            surprise[label] += float(_first(answers[: len(halves[judged]), None]) - expected) / 2
            images[shown] = answers.numpy()
    return Repeats(surprise, images)


def _carried(half: Tensor, others: Tensor) -> Tensor:
    """[D] the direction in which the first few of a half answer most, above others."""
    alike = half @ half.T
    alike.fill_diagonal_(-1)
    nearest = alike.topk(_CARRIERS, dim=1)
    starts = nearest.values[:, -1].topk(min(_STARTS, len(half))).indices
    directions = F.normalize(half[nearest.indices[starts]].mean(dim=1))
    for _ in range(_ROUNDS):
        carriers = (half @ directions.T).topk(_CARRIERS, dim=0).indices
        directions = F.normalize(half[carriers].mean(dim=0))
    answers, strange = half @ directions.T, others @ directions.T
    return directions[((_first(answers) - _first(strange)) / strange.std(dim=0)).argmax()]


def _first(answers: Tensor) -> Tensor:
    """Mean of the few highest, of each column."""
    return answers.topk(min(_CARRIERS, len(answers)), dim=0).values.mean(dim=0)
