"""Specks: single pixels that stand out from all around them."""

from __future__ import annotations

import torch
from torch import Tensor

from unpoison.core.settings import bound_value
from unpoison.purifiers.filters.protocol import Filter
from unpoison.purifiers.filters.settings import DespeckleSettings
from unpoison.purifiers.filters.windows import widen

_MIDDLE = 4  # of the nine places of a 3x3 square, row by row


class DespeckleFilter(Filter):
    """A pixel that lies outside of its neighbours, in any channel, becomes their median; all others stay as they are.

    The eight neighbours less their lowest and their highest span the range, so that two specks side by side do not hide
    each other; a pixel is a speck if it lies further outside than `threshold`. It undoes poisons of single pixels, such
    as `ops`, as the median filter does, but hardly touches a picture that has none.

    References:
        Sun and Neuvo: Detail-preserving median based filters in image processing, Pattern Recognition Letters 1994.
        The range is ours.
    """

    Settings = DespeckleSettings
    halo = 1

    def __init__(self, settings: DespeckleSettings, *, device: torch.device):
        super().__init__(settings, device=device)
        self.threshold = bound_value(settings.threshold)

    def apply(self, images: Tensor) -> Tensor:
        squares = widen(images, 1).unfold(2, 3, 1).unfold(3, 3, 1).flatten(-2)
        around = torch.cat([squares[..., :_MIDDLE], squares[..., _MIDDLE + 1 :]], dim=-1).sort(dim=-1).values
        outside = torch.maximum(images - around[..., -2], around[..., 1] - images).amax(dim=1, keepdim=True)
        return torch.where(outside > self.threshold, around[..., 3:5].mean(dim=-1), images)
