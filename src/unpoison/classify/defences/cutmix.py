"""CutMix: a box of every picture comes from another one, and the labels share by area."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from unpoison.classify.defences.protocol import Defence
from unpoison.core.settings import Settings


class CutmixSettings(Settings):
    """Settings of CutMix; the area of the box is uniform, Beta(1, 1), before it is cut off at the border.

    Args:
        probability: share of the pictures that get a box.
    """

    probability: float = Field(0.5, ge=0, le=1)


class Cutmix(Defence):
    """No one part of a picture tells its label alone, which hurts a mark that sits in one place.

    References:
        Yun et al., CutMix: regularization strategy to train strong classifiers with localizable features, ICCV 2019,
        https://arxiv.org/abs/1905.04899
    """

    Settings = CutmixSettings

    def show(self, shown: Tensor, targets: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Give each picture a box of a partner's, of a place and size of its own where the paper draws one a batch."""
        count, draws, device = len(shown), self.draws, shown.device
        partners = torch.randperm(count, generator=draws, device=device)
        boxed = torch.rand(count, generator=draws, device=device) < self.settings.probability
        side = torch.rand(count, generator=draws, device=device).sqrt() * boxed  # in sides of the picture
        centres = torch.rand(2, count, generator=draws, device=device)
        rows, columns = (
            _between(length, centre, side) for length, centre in zip(shown.shape[2:], centres, strict=True)
        )
        box = rows[:, :, None] & columns[:, None, :]
        foreign = box.float().mean(dim=(1, 2))
        labels = self.shares(targets)
        return shown[partners].where(box[:, None], shown), torch.lerp(labels, labels[partners], foreign[:, None])


def _between(length: int, centres: Tensor, side: Tensor) -> Tensor:
    """[N, length] bool: which places lie within half of `side` [N] of the centre [N], all in shares of the length."""
    places = (torch.arange(length, device=side.device) + 0.5) / length
    return (places - centres[:, None]).abs() < side[:, None] / 2
