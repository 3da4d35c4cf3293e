"""Patterns that are added to pictures and know nothing of them.

Each function draws patterns [N, 3, S, S] of any size; `unit` then scales them to a largest value of 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

_CELLS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16)  # pixels a side; and stripes as long as the picture
_BLOCK = 8  # JPEG's
_PEAK = 2.0  # times the root mean square: what lies beyond is cut off, so that rare values do not set the scale


def unit(patterns: Tensor) -> Tensor:
    """Patterns scaled and cut off to largest values of 1; the shape stays."""
    sizes = patterns.flatten(1).abs()
    scale = torch.minimum(sizes.amax(dim=1), _PEAK * sizes.square().mean(dim=1).sqrt()).clamp(min=1e-12)
    return (patterns / scale.view(-1, 1, 1, 1)).clamp(-1, 1)


def grids(count: int, side: int, random: torch.Generator) -> Tensor:
    """Cells of one colour each, of any height, width and phase: single pixels, patches, stripes."""
    height, width = (_pick((*_CELLS, side), random) for _ in range(2))
    shape = (count, 3, side // height + 2, side // width + 2)
    values = torch.randn(shape, generator=random)
    if _chance(0.5, random):
        values = values.sign()
    elif _chance(0.5, random):
        values = 2 * torch.rand(shape, generator=random) - 1
    if _chance(0.2, random):
        values = values[:, :1].expand(shape)
    return _crop(values.repeat_interleave(height, dim=2).repeat_interleave(width, dim=3), side, random)


def checks(count: int, side: int, random: torch.Generator) -> Tensor:
    """Two colours taking turns, in cells of any height, width and phase."""
    height, width = (_pick(_CELLS, random) for _ in range(2))
    rows, columns = (torch.arange(side + 2 * cell) // cell for cell in (height, width))
    board = 1 - 2 * ((rows[:, None] + columns) % 2).float()
    return _colours(count, random) * _crop(board.expand(count, 3, -1, -1), side, random)


def gratings(count: int, side: int, random: torch.Generator) -> Tensor:
    """One to three waves of any direction and length, in a colour each, round or square."""
    place = torch.arange(side, dtype=torch.float32)
    total = torch.zeros(count, 3, side, side)
    for _ in range(int(torch.randint(1, 4, (), generator=random))):
        angle, phase = math.tau * torch.rand(2, count, 1, 1, 1, generator=random)
        cycles = torch.exp(math.log(1 / 48) + math.log(24) * torch.rand(count, 1, 1, 1, generator=random))  # a pixel
        way = angle.cos() * place.view(-1, 1) + angle.sin() * place
        wave = (math.tau * cycles * way + phase).sin()
        total += _colours(count, random) * (wave.sign() if _chance(0.4, random) else wave)
    return total


def fields(count: int, side: int, random: torch.Generator) -> Tensor:
    """Spots of any size from three pixels to the whole picture, smooth or with sharp borders."""
    cell = math.exp(math.log(3) + math.log(side / 3) * float(torch.rand((), generator=random)))
    nodes = torch.randn(count, 3, *(2 * [math.ceil(side / cell) + 3]), generator=random)
    grown = F.interpolate(nodes, scale_factor=cell, mode="bicubic", align_corners=False)
    return _crop(grown.sign() if _chance(0.4, random) else grown, side, random)


def blocks(count: int, side: int, random: torch.Generator) -> Tensor:
    """Blocks of 8x8 pixels on the grid of JPEG, of one to eight cosine waves; all the same, or each its own."""
    across = -(-side // _BLOCK)
    own = _chance(0.5, random)
    waves = int(torch.randint(1, 9, (), generator=random))
    keep = torch.zeros(_BLOCK**2).index_fill(0, torch.randperm(_BLOCK**2, generator=random)[:waves], 1.0)
    shape = (count, 3, across, across) if own else (count, 3, 1, 1)
    weights = torch.randn(*shape, _BLOCK, _BLOCK, generator=random) * keep.view(_BLOCK, _BLOCK)
    basis = _cosines()
    made = (basis.T @ weights @ basis).expand(count, 3, across, across, -1, -1)
    return made.permute(0, 1, 2, 4, 3, 5).reshape(count, 3, across * _BLOCK, -1)[..., :side, :side]


def _cosines() -> Tensor:
    """[8, 8]: row k holds wave k."""
    place, wave = torch.arange(_BLOCK) + 0.5, torch.arange(_BLOCK)
    return (math.pi / _BLOCK * wave[:, None] * place).cos()


def _colours(count: int, random: torch.Generator) -> Tensor:
    return torch.randn(count, 3, 1, 1, generator=random)


def _crop(patterns: Tensor, side: int, random: torch.Generator) -> Tensor:
    """A square of a random phase."""
    top, left = (int(torch.randint(length - side + 1, (), generator=random)) for length in patterns.shape[2:])
    return patterns[..., top : top + side, left : left + side]


def _pick(values: tuple[int, ...], random: torch.Generator) -> int:
    return values[int(torch.randint(len(values), (), generator=random))]


def _chance(share: float, random: torch.Generator) -> bool:
    return float(torch.rand((), generator=random)) < share
