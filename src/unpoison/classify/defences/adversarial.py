"""Adversarial training: the net learns from pictures moved to where it reads them worst."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from unpoison.classify.defences.protocol import Defence
from unpoison.core.precision import autocast
from unpoison.core.settings import Bound, Settings, bound_value


class AdversarialSettings(Settings):
    """Settings of adversarial training, as published for 8 bits: projected gradient descent in the L-infinity ball.

    Args:
        epsilon: how far a value may move.
        steps: of the descent; a training takes about 1 + steps times as long.
        step_size: how far a step moves every value.
    """

    epsilon: Bound = "8/255"
    steps: int = Field(10, ge=1, le=1000)
    step_size: Bound = "2/255"


class Adversarial(Defence):
    """Whatever moves no value by more than epsilon, the net learns to read through; not so poisons beyond it.

    References:
        Madry et al., Towards deep learning models resistant to adversarial attacks, ICLR 2018,
        https://arxiv.org/abs/1706.06083
        Tao et al., Better safe than sorry: preventing delusive adversaries with adversarial training, NeurIPS 2021,
        https://arxiv.org/abs/2102.04716
    """

    Settings = AdversarialSettings

    def show(self, shown: Tensor, targets: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Move each picture up its own loss, from a uniform start in the ball; the net is in evaluation mode."""
        # Not in training mode: the passes would move the running statistics of the normalisation.
        net = self.lesson.net.eval()
        epsilon, step_size = bound_value(self.settings.epsilon), bound_value(self.settings.step_size)
        shown = shown.clamp(0, 1)
        least, most = (shown - epsilon).clamp(0, 1), (shown + epsilon).clamp(0, 1)
        start = 2 * torch.rand(shown.shape, generator=self.draws, device=shown.device) - 1
        moved = (shown + epsilon * start).clamp(0, 1)
        for _ in range(self.settings.steps):
            moved.requires_grad_()
            with autocast(self.training.precision, moved.device):
                logits = net(moved)
            (slope,) = torch.autograd.grad(self.losses(logits, targets).sum(), moved)
            moved = (moved.detach() + step_size * slope.sign()).clamp(least, most)
        return moved, targets
