"""Trimmed edges: the outermost pixels replaced by those next to them."""

from __future__ import annotations

import torch
from torch import Tensor

from unpoison.purifiers.filters.protocol import Filter
from unpoison.purifiers.filters.settings import TrimSettings


class TrimFilter(Filter):
    """The outermost `width` pixels of every side are cut off, and the picture gets its size back by repeating what is
    outermost then.

    What filters a picture over a frame of zeros darkens its edges, each class in its own way if each has its own
    filter: so do the convolutions of `cuda`, and no noise hides a whole row of pixels.

    References:
        Ours.
    """

    Settings = TrimSettings

    def __init__(self, settings: TrimSettings, *, device: torch.device):
        super().__init__(settings, device=device)
        self.halo = settings.width

    def apply(self, images: Tensor) -> Tensor:
        rows, columns = (self._inside(side, images.device) for side in images.shape[2:])
        return images[:, :, rows[:, None], columns]

    def _inside(self, side: int, device: torch.device) -> Tensor:
        """Where each of `side` pixels is taken from."""
        width = min(self.settings.width, (side - 1) // 2)
        return torch.arange(side, device=device).clamp(width, side - 1 - width)
