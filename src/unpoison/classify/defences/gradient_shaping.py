"""Gradient shaping: gradients of bounded length, with noise."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from unpoison.classify.defences.protocol import Defence
from unpoison.core.settings import Settings


class GradientShapingSettings(Settings):
    """Settings of gradient shaping.

    Args:
        clip: longest gradient of a batch, L2 over all weights.
        noise: deviation of the noise on each weight's gradient, in units of `clip`.
    """

    clip: float = Field(1.0, gt=0)
    noise: float = Field(0.01, ge=0)


class GradientShaping(Defence):
    """No batch moves the weights far, and what a few pictures ask for drowns in noise.

    As in the published comparisons, the gradient of the whole batch is clipped, which costs little and works with batch
    normalisation; DP-SGD clips that of every picture, and only that would give a guarantee of privacy.

    References:
        Hong et al., On the effectiveness of mitigating data poisoning attacks with gradient shaping, 2020,
        https://arxiv.org/abs/2002.11497
        Abadi et al., Deep learning with differential privacy, CCS 2016, https://arxiv.org/abs/1607.00133
    """

    Settings = GradientShapingSettings

    def shape_gradients(self) -> None:
        """Clip, then add the noise."""
        clip, noise = self.settings.clip, self.settings.clip * self.settings.noise
        learning = [parameter for parameter in self.lesson.learner.parameters() if parameter.grad is not None]
        nn.utils.clip_grad_norm_(learning, clip)
        for parameter in learning if noise else ():
            gradient: Tensor = parameter.grad  # type: ignore[assignment]
            gradient.add_(torch.randn(gradient.shape, generator=self.draws, device=gradient.device), alpha=noise)
