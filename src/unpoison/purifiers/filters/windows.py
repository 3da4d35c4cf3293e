"""Weighted sums over the pixels around a pixel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def widen(images: Tensor, reach: int) -> Tensor:
    """Repeat the outermost pixels `reach` times on every side: [N, C, H, W] to [N, C, H + 2 reach, W + 2 reach]."""
    return F.pad(images, [reach] * 4, mode="replicate")


def weigh(images: Tensor, weights: Sequence[float]) -> Tensor:
    """The same weighted sum along rows and along columns.

    Term by term, in place of a convolution: the last bits do not depend on how many images there are.

    Args:
        images: [N, C, H, W] float32; not changed.
        weights: an odd number of them, the middle one for the pixel itself; together they should be 1.

    Returns:
        [N, C, H, W] float32.
    """
    height, width = images.shape[2:]
    wide = widen(images, len(weights) // 2)
    columns = _sum([weight * wide[..., place : place + width] for place, weight in enumerate(weights)])
    return _sum([weight * columns[..., place : place + height, :] for place, weight in enumerate(weights)])


def _sum(terms: Sequence[Tensor]) -> Tensor:
    total = torch.zeros_like(terms[0])
    for term in terms:
        total += term
    return total
