"""Random smooth colour fields: noise of large spots, to drown perturbations that white noise leaves standing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from unpoison.core.noise import Noise

CELLS = (4, 8, 16)  # pixels a side; 8, 4 and 2 cells across a 32x32 picture

# Nodes and weights are multiples of these, so that float64 holds every product and sum of them exactly: matrix products
# differ in their last bits from processor to processor, and the field must not.
_NODE, _WEIGHT = 2.0**-14, 2.0**-17


def smooth_field(nodes: Sequence[Tensor], *, height: int, width: int, top: int = 0, left: int = 0) -> Tensor:
    """A Gaussian field of unit variance at every pixel: bilinear and blocky grids of three sizes, summed.

    A pixel's place in its cells comes from its position in the whole picture, so a tile has the part of the field that
    the whole picture would have.

    Args:
        nodes: for each of `CELLS`, [N, 2C, h, w] standard normal values on its grid, the first row and column being
            those of the cell that holds pixel (top, left): C channels to interpolate, C to repeat; on the CPU.
        height: of the result.
        width: of the result.
        top: row of the first pixel in the whole picture.
        left: column of it.

    Returns:
        [N, C, H, W] float32, the same on every processor.
    """
    total: Tensor | None = None
    for cell, values in zip(CELLS, nodes, strict=True):
        smooth, blocky = values.chunk(2, dim=1)
        for part, interpolate in ((smooth, True), (blocky, False)):
            rows = _spread(cell, top % cell, height, interpolate)
            columns = _spread(cell, left % cell, width, interpolate)
            grid = rows @ _round(part[..., : rows.shape[1], : columns.shape[1]], _NODE) @ columns.T
            total = grid if total is None else total + grid
    assert total is not None
    return (total / math.sqrt(2 * len(CELLS))).float()


@dataclass(frozen=True)
class ColouredNoise:
    """White noise of unit variance with a smooth field on top: what samplers scale by sigma.

    Args:
        white: source of both, keyed by image.
        ratio: rms of the field over the standard deviation of the white noise.
    """

    white: Noise
    ratio: float

    def normal(self, like: Tensor, step: int | str) -> Tensor:
        """As `Noise.normal`."""
        noise = self.white.normal(like, step)
        if self.ratio == 0:
            return noise
        count, channels, height, width = like.shape
        grids = torch.empty(()).expand(count, 2 * channels, height, width)
        nodes = [self.white.nodes(grids, step, cell) for cell in CELLS]
        window = self.white.window
        top, left = (window.top, window.left) if window else (0, 0)
        field = smooth_field(nodes, height=height, width=width, top=top, left=left)
        return noise + self.ratio * field.to(noise.device)


@lru_cache(maxsize=256)
def _spread(cell: int, offset: int, length: int, interpolate: bool) -> Tensor:
    """[length, nodes] weights that carry nodes to pixels, float64, each row of unit norm, so that variance stays 1."""
    place = torch.arange(offset, offset + length)
    before = place // cell
    weights = torch.zeros(length, int(before[-1]) + 2)
    share = (place % cell + 0.5) / cell if interpolate else torch.zeros(length)
    weights.scatter_(1, before[:, None], (1 - share)[:, None])
    weights.scatter_add_(1, before[:, None] + 1, share[:, None].to(weights.dtype))
    return _round(weights / weights.norm(dim=1, keepdim=True), _WEIGHT)


def _round(values: Tensor, step: float) -> Tensor:
    """In float64."""
    return (values.double() / step).round() * step
