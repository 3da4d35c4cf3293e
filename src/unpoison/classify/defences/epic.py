"""EPIC: pictures whose gradients stand alone are left out."""

from __future__ import annotations

import logging
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from unpoison.classify.defences.protocol import Defence
from unpoison.core.pixels import as_unit
from unpoison.core.precision import autocast
from unpoison.core.settings import Settings

log = logging.getLogger(__name__)
_BATCH = 500


class EpicSettings(Settings):
    """Settings of EPIC.

    Args:
        fraction: share of a class that become medoids; alpha of the paper, 0.1 to 0.3, and 0.6 for fine-tuning.
        warm_up: epochs before the first look; K of the paper, 10 of 40 epochs, 30 of 200, and 1 for a transfer.
        every: epochs between two looks; T of the paper, 2 of 40 epochs, 10 of 200, and 1 for a transfer.
    """

    fraction: float = Field(0.1, gt=0, lt=1)
    warm_up: int = Field(5, ge=0)
    every: int = Field(2, ge=1)


class Epic(Defence):
    """An effective poison pulls the weights where no other picture of its class does.

    Of every class, medoids are chosen that stand for all of it as well as possible; a medoid that stands for itself
    alone is left out for good. It looks at the whole set each time, as the released code, and no longer than until the
    last fall of the learning rate. Memory: four bytes for every pair of a class.

    References:
        Yang, Liu, Mirzasoleiman, Not all poisons are created equal: robust training against data poisoning, ICML 2022,
        https://arxiv.org/abs/2210.09671
    """

    Settings = EpicSettings

    def __init__(self, *about: Any, **more: Any):
        super().__init__(*about, **more)
        self._kept = torch.ones_like(self.lesson.labels, dtype=torch.bool)  # of the whole set, by row

    def choose(self, rows: Tensor, epoch: int) -> Tensor:
        """Look, if it is time, and leave out the rows that stood alone at any look so far."""
        passed, decays = epoch - 1, self.training.decay_epochs
        since = passed - self.settings.warm_up  # the released code counts from the first epoch on
        over = bool(decays) and passed > decays[-1]
        if since >= 0 and since % self.settings.every == 0 and not over:
            alone = isolated(self.slopes(), self.lesson.labels, self.settings.fraction)
            self._kept &= ~alone
            log.info("epic leaves out %d of %d pictures", int((~self._kept).sum()), len(self._kept))
        return rows[self._kept[rows]]

    @torch.no_grad()
    def slopes(self) -> Tensor:
        """The gradient of each picture's loss by its logits, [N, classes]; in evaluation mode, not augmented."""
        net, shares = self.lesson.net.eval(), []
        for batch in self.lesson.inputs.split(_BATCH):
            with autocast(self.training.precision, batch.device):
                logits = net(as_unit(batch))
            shares.append(logits.float().softmax(dim=1))
        return torch.cat(shares) - self.shares(self.lesson.labels)


def isolated(slopes: Tensor, labels: Tensor, fraction: float) -> Tensor:
    """Which pictures are medoids that stand for themselves alone.

    Args:
        slopes: [N, D], their gradients.
        labels: [N] int64; each class has its own medoids.
        fraction: medoids for each picture of a class, rounded; at least one.

    Returns:
        [N] bool. A class whose medoids all stand alone loses none.
    """
    alone = torch.zeros_like(labels, dtype=torch.bool)
    for label in labels.unique():
        rows = (labels == label).nonzero()[:, 0]
        # Exact distances: by matrix products, those of near neighbours would be rounding errors.
        apart = torch.cdist(slopes[rows], slopes[rows], compute_mode="donot_use_mm_for_euclid_dist")
        medoids = find_medoids(apart, max(1, round(fraction * len(rows))))
        nearest = medoids[apart[:, medoids].argmin(dim=1)]
        sizes = nearest.bincount(minlength=len(rows))
        lonely = sizes[nearest] == 1
        if not lonely.all():
            alone[rows] = lonely
    return alone


def find_medoids(apart: Tensor, count: int) -> Tensor:
    """Choose points that stand for all, one after the other: each time the one by which all come nearest to one.

    The greedy facility location, lazily: what a point would gain only falls as others are chosen, so that an old gain
    bounds the new one, and few have to be worked out anew.

    Args:
        apart: [N, N], distances.
        count: how many, at most N.

    Returns:
        [count] int64, in the order of their choice.
    """
    near = apart.max() - apart
    covered = torch.zeros_like(near[0])  # how near each point has its nearest medoid
    gains = near.sum(dim=1)
    chosen: list[Tensor] = []
    while len(chosen) < count:
        best = gains.argmax()
        gains[best] = (near[best] - covered).clamp(min=0).sum()
        if gains.argmax() == best:
            chosen.append(best)
            covered = covered.maximum(near[best])
            gains[best] = -1.0  # below every gain
    return torch.stack(chosen)
