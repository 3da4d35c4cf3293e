"""Mixup: every picture is laid over another one, and the labels with them."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from unpoison.classify.defences.protocol import Defence
from unpoison.core.settings import Settings


class MixupSettings(Settings):
    """Settings of mixup; the share of each of the two is uniform, Beta(1, 1).

    Args:
        probability: share of the pictures that are mixed.
    """

    probability: float = Field(1.0, ge=0, le=1)


class Mixup(Defence):
    """The net learns straight lines between pictures, so that a pattern seldom stands there at full strength.

    References:
        Zhang et al., mixup: beyond empirical risk minimization, ICLR 2018, https://arxiv.org/abs/1710.09412
    """

    Settings = MixupSettings

    def show(self, shown: Tensor, targets: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Mix each picture with a partner, in shares of its own where the paper draws one for the batch."""
        count, draws, device = len(shown), self.draws, shown.device
        partners = torch.randperm(count, generator=draws, device=device)
        own = torch.rand(count, generator=draws, device=device)
        mixed = torch.rand(count, generator=draws, device=device) < self.settings.probability
        own = own.where(mixed, 1.0)
        labels = self.shares(targets)
        return torch.lerp(shown[partners], shown, own[:, None, None, None]), torch.lerp(
            labels[partners], labels, own[:, None]
        )
