"""Friendly Noise: each picture gets as much noise as the net does not mind, and other noise every epoch."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from unpoison.classify.defences.protocol import Defence
from unpoison.core.pixels import as_unit
from unpoison.core.precision import autocast
from unpoison.core.settings import Bound, Settings, bound_value

_PUBLISHED_BATCH = 128  # pictures whose mean loss the published rate is for
_MOMENTUM = 0.9
_BATCH = 256


class FriendlyNoiseSettings(Settings):
    """Settings of Friendly Noise.

    Args:
        warm_up: epochs before the friendly noise is sought; 5 from scratch as published, 0 for a transfer.
        steps: of the search, each a pass forwards and back over the whole set, once in the training.
        start: where the search begins, uniform.
        most: how far friendly noise moves a value at most.
        growth: what the noise gains by growing, against keeping what the net says; mu of the paper. PureGen takes 16.
        learning_rate: of the search, for the mean over 128 pictures, as published.
        noise: what is drawn every epoch besides: `bernoulli`, plus or minus with equal chance; `uniform`; `gaussian`.
        noise_size: its size, the largest or the deviation; 0 for none.
    """

    warm_up: int = Field(5, ge=0)
    steps: int = Field(30, ge=1, le=10_000)
    start: Bound = "8/255"
    most: Bound = "16/255"
    growth: float = Field(1.0, ge=0)
    learning_rate: float = Field(100.0, gt=0)
    noise: Literal["bernoulli", "uniform", "gaussian"] = "bernoulli"
    noise_size: Bound = "8/255"


class FriendlyNoise(Defence):
    """A poison aims at one picture as it is; next to it, under noise that leaves the class plain, it misses.

    It holds two bytes for every value of the set.

    References:
        Liu, Yang, Mirzasoleiman, Friendly noise against adversarial noise: a powerful defense against data poisoning
        attacks, NeurIPS 2022, https://arxiv.org/abs/2208.10224
    """

    Settings = FriendlyNoiseSettings

    def __init__(self, *about: Any, **more: Any):
        super().__init__(*about, **more)
        self.noise: Tensor | None = None  # [N, 3, H, W] of the whole set, half precision

    def choose(self, rows: Tensor, epoch: int) -> Tensor:
        """Find the friendly noise when the warm-up is over, by the net as it is then."""
        if epoch == self.settings.warm_up + 1:
            self.noise = torch.cat([self.search(batch) for batch in self.lesson.inputs.split(_BATCH)])
        return rows

    def prepare(self, pictures: Tensor, rows: Tensor) -> Tensor:
        """Add both kinds of noise; only the friendly one stays within the range of pixels, as published."""
        pictures = as_unit(pictures)
        if self.noise is not None:
            pictures = (pictures + self.noise[rows].float()).clamp(0, 1)
        return pictures + bound_value(self.settings.noise_size) * self._draw(pictures)

    def search(self, pictures: Tensor) -> Tensor:
        """Friendly noise of some pictures: as strong as it gets while the net in evaluation mode says what it said.

        Descends KL(net(x) || net(x + noise)) - growth * mean square of the noise, for each picture by itself.

        Args:
            pictures: [N, 3, H, W] uint8.

        Returns:
            [N, 3, H, W] float16, no value beyond `most`.
        """
        chosen, net = self.settings, self.lesson.net.eval()
        clean, most = as_unit(pictures), bound_value(chosen.most)
        with torch.no_grad():
            said = self._log_shares(net, clean)
        noise = (2 * torch.rand(clean.shape, generator=self.draws, device=clean.device) - 1) * bound_value(chosen.start)
        noise.requires_grad_()
        descent = torch.optim.SGD(
            [noise], lr=chosen.learning_rate / _PUBLISHED_BATCH, momentum=_MOMENTUM, nesterov=True
        )
        for _ in range(chosen.steps):
            added = noise.clamp(-most, most)
            says = self._log_shares(net, (clean + added).clamp(0, 1))
            changed = F.kl_div(says, said, log_target=True, reduction="sum")
            grown = added.square().flatten(1).mean(dim=1).sum()
            (noise.grad,) = torch.autograd.grad(changed - chosen.growth * grown, noise)
            descent.step()
        return noise.detach().clamp(-most, most).half()

    def _draw(self, like: Tensor) -> Tensor:
        """Noise of size 1."""
        about: dict[str, Any] = {"generator": self.draws, "device": like.device}
        if self.settings.noise == "gaussian":
            return torch.randn(like.shape, **about)
        drawn = 2 * torch.rand(like.shape, **about) - 1
        return drawn.sign() if self.settings.noise == "bernoulli" else drawn

    def _log_shares(self, net: nn.Module, pictures: Tensor) -> Tensor:
        with autocast(self.training.precision, pictures.device):
            logits: Tensor = net(pictures)
        return logits.float().log_softmax(dim=1)
