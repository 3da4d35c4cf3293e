"""Specks: single pixels that stand out from all around them."""

from __future__ import annotations

import torch
from torch import Tensor

from unpoison.core.settings import bound_value
from unpoison.purifiers.filters.protocol import Filter
from unpoison.purifiers.filters.settings import DespeckleSettings
from unpoison.purifiers.filters.windows import widen

# Batcher's odd-even merge sort of eight values: on whole pictures at a time, not pixel by pixel.
_EXCHANGES = (
    *((0, 1), (2, 3), (4, 5), (6, 7)),
    *((0, 2), (1, 3), (4, 6), (5, 7), (1, 2), (5, 6)),
    *((0, 4), (1, 5), (2, 6), (3, 7), (2, 4), (3, 5), (1, 2), (3, 4), (5, 6)),
)


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
        height, width = images.shape[2:]
        wide = widen(images, 1)
        places = ((row, column) for row in range(3) for column in range(3) if (row, column) != (1, 1))
        around = [wide[:, :, row : row + height, column : column + width] for row, column in places]
        for low, high in _EXCHANGES:
            around[low], around[high] = (
                torch.minimum(around[low], around[high]),
                torch.maximum(around[low], around[high]),
            )
        outside = torch.maximum(images - around[-2], around[1] - images).amax(dim=1, keepdim=True)
        return torch.where(outside > self.threshold, (around[3] + around[4]) / 2, images)
