"""UEraser: strong changes of colour and contrast, of which the net learns from the one that it reads worst."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from pydantic import Field
from torch import Tensor, nn

from unpoison.classify.defences.compression import squeeze
from unpoison.classify.defences.plasma import plasma
from unpoison.classify.defences.protocol import Defence
from unpoison.core.precision import autocast
from unpoison.core.settings import Settings

_ROUGHNESS = 0.3, 0.7
_INTENSITY = 0.5, 1.0  # of the field of brightness
_CONTRAST = 4.0  # at most, of the field of contrast


class UeraserSettings(Settings):
    """Settings of UEraser.

    Args:
        probability: of each of the three changes: brightness, contrast, and the order of the channels.
        draws: how often a picture is changed; the net learns from the one draw that it reads worst.
        worst_share: share of the epochs, from the first on, that do so; the others draw once. 50 or 60 of 200 as
            published.
        jpeg_probability: share of the pictures that are saved as JPEG after that; 0.8 against TAP and AR.
    """

    probability: float = Field(0.5, ge=0, le=1)
    draws: int = Field(5, ge=1, le=100)
    worst_share: float = Field(0.3, ge=0, le=1)
    jpeg_probability: float = Field(0.0, ge=0, le=1)


class UeraserLiteSettings(UeraserSettings):
    """Settings of UEraser that draws once, always."""

    worst_share: float = Field(0.0, ge=0, le=1)


class UeraserMaxSettings(UeraserSettings):
    """Settings of UEraser that takes the worst of the draws, always."""

    worst_share: float = Field(1.0, ge=0, le=1)


class Ueraser(Defence):
    """A shortcut in colours or brightness does not outlive changes that are larger than it.

    The worst draw is found without gradients and learnt from alone: 1 + draws / 3 times the cost, where the published
    code goes back through all of them. Its further change, one of fourteen at random (TrivialAugment), is not made.

    References:
        Qin et al., Learning the unlearnable: adversarial augmentations suppress unlearnable example attacks, 2023,
        https://arxiv.org/abs/2303.15127
    """

    Settings = UeraserSettings

    def show(self, shown: Tensor, targets: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Change each picture, several times if the worst is sought."""
        chosen = self.settings
        if chosen.draws == 1 or epoch > math.ceil(chosen.worst_share * self.training.epochs):
            return self.change(shown), targets
        views = torch.stack([self.change(shown) for _ in range(chosen.draws)])
        worst = torch.stack([self.look(view, targets) for view in views]).argmax(dim=0)
        return views[worst, torch.arange(len(shown), device=shown.device)], targets

    @torch.no_grad()
    def look(self, shown: Tensor, targets: Tensor) -> Tensor:
        """The loss of each picture [N] as the learner would see it now; nothing in it moves."""
        learner = self.lesson.learner.train()
        with _held_statistics(learner), autocast(self.training.precision, shown.device):
            logits = learner(shown)
        return self.losses(logits, targets)

    def change(self, pictures: Tensor) -> Tensor:
        """One draw of all changes.

        Args:
            pictures: [N, 3, H, W] float32 in [0, 1]; not changed.

        Returns:
            [N, 3, H, W] float32 in [0, 1].
        """
        intensity = self._uniform(*_INTENSITY, like=pictures)[:, None, None, None]
        brighter = (pictures + intensity * (2 * self._field(pictures) - 1)).clamp(0, 1)
        pictures = brighter.where(self._taken(pictures), pictures)
        contrasted = ((pictures - 0.5) * _CONTRAST * self._field(pictures) + 0.5).clamp(0, 1)
        pictures = contrasted.where(self._taken(pictures), pictures)
        order = torch.rand(pictures.shape[:2], generator=self.draws, device=pictures.device).argsort(dim=1)
        shuffled = pictures.gather(1, order[:, :, None, None].expand_as(pictures))
        pictures = shuffled.where(self._taken(pictures), pictures)
        if self.settings.jpeg_probability:
            squeezed = squeeze(pictures, generator=self.draws)
            pictures = squeezed.where(self._taken(pictures, self.settings.jpeg_probability), pictures)
        return pictures

    def _field(self, like: Tensor) -> Tensor:
        return plasma(like, self._uniform(*_ROUGHNESS, like=like), generator=self.draws)

    def _uniform(self, low: float, high: float, *, like: Tensor) -> Tensor:
        """A number for each picture, [N]."""
        return low + (high - low) * torch.rand(len(like), generator=self.draws, device=like.device)

    def _taken(self, like: Tensor, probability: float | None = None) -> Tensor:
        """Which pictures are changed, [N, 1, 1, 1] bool."""
        share = self.settings.probability if probability is None else probability
        return self._uniform(0, 1, like=like)[:, None, None, None] < share


class UeraserLite(Ueraser):
    """One draw; hardly dearer than no defence."""

    Settings = UeraserLiteSettings


class UeraserMax(Ueraser):
    """The worst of all draws in every epoch."""

    Settings = UeraserMaxSettings


@contextmanager
def _held_statistics(net: nn.Module) -> Iterator[None]:
    """Let batch normalisation use the statistics of the batch without remembering them."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
