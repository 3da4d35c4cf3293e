"""Autoregressive textures: every value follows from the eight before it, above and to the left."""

from __future__ import annotations

import torch
from torch import Tensor

_TRIES = 3  # recurrences drawn for each picture; the one whose texture is the most even is kept
_BEFORE = 24  # rows and columns that are thrown away: the first still show the noise that it begins with
_STRONGEST = 0.8  # deviation of the coefficients, at most


def textures(count: int, side: int, random: torch.Generator) -> Tensor:
    """Textures [N, 3, S, S] of random stable recurrences, one for each picture.

    With x the texture and a the eight coefficients:
        x[i, j] = sum of a[u, v] x[i - 2 + u, j - 2 + v] over the 3x3 window without its last place
    What grows or fades is divided by its mean growth g a row and h a column, which makes it the texture of the
    coefficients a[u, v] g^(u - 2) h^(v - 2), a stable recurrence.
    """
    strength = _STRONGEST * torch.rand(count * _TRIES, 1, generator=random)
    made = _grow((strength * torch.randn(count * _TRIES, 8, generator=random)).double(), side + _BEFORE, random)
    made = made[..., _BEFORE:, _BEFORE:]
    for _ in range(2):  # once more, as rows and columns of an uneven texture do not grow on their own
        made = _level(_level(made).mT).mT
    # By what differs within a row: a picture of one colour is no texture.
    sizes = made.diff(dim=3).square().mean(dim=(1, 3)).clamp(min=1e-100).log()
    uneven = sizes.std(dim=1).view(count, _TRIES)
    kept = made.view(count, _TRIES, 3, side, side)[torch.arange(count), uneven.argmin(dim=1)]
    kept = kept - kept.mean(dim=(2, 3), keepdim=True)
    return (kept / kept.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp(min=1e-50)).float()


def _grow(tables: Tensor, side: int, random: torch.Generator) -> Tensor:
    """[N, 3, side, side] textures of tables [N, 8], each with noise of its own to begin with; all in float64.

    Row by row this is a linear system in the row, the same for every row, which is solved once.
    """
    count = len(tables)
    x = torch.randn(count, 3, side + 2, side + 2, generator=random).double()  # two rows and columns to begin with
    system = torch.eye(side, dtype=x.dtype).repeat(count, 1, 1)
    for back in (1, 2):
        system.diagonal(-back, 1, 2).sub_(tables[:, 8 - back, None])
    solved = torch.linalg.solve_triangular(system, torch.eye(side, dtype=x.dtype).expand_as(system), upper=False).mT
    for row in range(2, side + 2):
        known = torch.zeros(count, 3, side, dtype=x.dtype)
        for up in (2, 1):
            for shift in range(3):
                known += tables[:, 3 * (2 - up) + shift, None, None] * x[:, :, row - up, shift : shift + side]
        # What the first two values of the row, which are given, add to its first two unknowns.
        known[:, :, 0] += tables[:, 6, None] * x[:, :, row, 0] + tables[:, 7, None] * x[:, :, row, 1]
        known[:, :, 1] += tables[:, 6, None] * x[:, :, row, 1]
        x[:, :, row, 2:] = known @ solved
    return x[:, :, 2:, 2:]


def _level(made: Tensor) -> Tensor:
    """Divided by the mean growth from row to row."""
    sizes = made.square().mean(dim=(1, 3)).clamp(min=1e-100).log() / 2
    place = torch.arange(made.shape[2], dtype=made.dtype) - (made.shape[2] - 1) / 2
    growth = (sizes @ place) / place.square().sum()
    return made * torch.exp(-growth[:, None] * place)[:, None, :, None]
