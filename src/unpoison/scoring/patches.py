"""Filters that are patches of the pictures themselves, for features that nothing was trained for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_SIDE = 5
_PATCHES = 20_000


def patch_filters(shown: Tensor, count: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random patches, whitened: each answers to patches like it once what is common in nature is taken down.

    Args:
        shown: [n, C, H, W] float32, pictures to take them from; sides of at least 5.
        count: how many filters, if there are as many patches.
        generator: chooses the patches.

    Returns:
        The filters [count, C, 5, 5], and what each answers to the mean patch, [count].

    References:
        Coates and Ng, Learning feature representations with k-means, 2012.
    """
    patches = F.unfold(shown, _SIDE).permute(0, 2, 1).reshape(-1, shown.shape[1] * _SIDE**2)
    patches = patches[torch.randperm(len(patches), generator=generator)[:_PATCHES]]
    centre = patches.mean(dim=0)
    values, vectors = torch.linalg.eigh((patches - centre).T @ (patches - centre) / len(patches))
    whiten = vectors @ torch.diag((values + 0.05 * values.mean()).rsqrt()) @ vectors.T
    chosen = (patches[torch.randperm(len(patches), generator=generator)[:count]] - centre) @ whiten
    weights = F.normalize(chosen) @ whiten
    filters = weights.reshape(-1, shown.shape[1], _SIDE, _SIDE).contiguous(memory_format=torch.channels_last)
    return filters, weights @ centre
