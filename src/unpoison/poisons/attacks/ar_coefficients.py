"""Coefficient tables of autoregressive noise: running them, finding new ones, reading published ones."""

from __future__ import annotations

from itertools import product
from math import prod, sqrt
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unpoison.core.errors import DataError
from unpoison.data.safe.npy import read_npy
from unpoison.data.safe.torch_files import read_torch

MARGIN = 4  # rows and columns that are cut off, for the first two are the random start
_TRIALS = 3
_LARGEST = 50.0  # size that stable noise, started from N(0, 1), never exceeds on a picture of 32x32
_SIDE = 32  # tables are tried on pictures of at least this side
_POOL = 6_000_000  # start values of one pool of candidates

SearchNorm = Literal["l2", "linf"]


def autoregress(start: Tensor, coefficients: Tensor) -> Tensor:
    """Run s[i, j] = sum over a, e of b[a, e] s[i-2+a, j-2+e] from the upper left to the lower right.

    Args:
        start: [H, W, ...] on the CPU; its first two rows and columns are what the process grows from.
        coefficients: [3, 3, ...], b of one process or of many side by side; b[2, 2] is 0.

    Returns:
        [H, W, ...].
    """
    signal, weights = start.numpy().copy(), coefficients.numpy()
    # In numpy: torch would wake its threads for each of the thousands of short steps.
    for row, column in product(range(2, signal.shape[0]), range(2, signal.shape[1])):
        window = signal[row - 2 : row + 1, column - 2 : column + 1]
        signal[row, column] = np.einsum("ae...,ae...->...", window, weights)
    return torch.from_numpy(signal)


def ar_noise(table: Tensor, count: int, height: int, width: int, *, generator: torch.Generator) -> Tensor:
    """Noise of one class, before it is scaled.

    Args:
        table: [3, 3, 3] coefficients, a 3x3 table for each channel.
        count: how many pictures.
        height: of a picture.
        width: of a picture.
        generator: source of the starts.

    Returns:
        [count, 3, H, W] float32; not finite where the table diverges.
    """
    start = torch.randn(height + MARGIN, width + MARGIN, 3, count, generator=generator)
    return autoregress(start, table.permute(1, 2, 0)[..., None])[MARGIN:, MARGIN:].permute(3, 2, 0, 1)


def ar_filters(tables: Tensor) -> Tensor:
    """The filters [K, 3, 3, 3] to which the noise of their own tables gives zero: -1 stands at [2, 2]."""
    filters = tables.clone()
    filters[:, :, 2, 2] = -1
    return filters


def search_tables(
    classes: int, height: int, width: int, *, norm: SearchNorm = "l2", generator: torch.Generator
) -> Tensor:
    """Find tables whose noise stays bounded and whose filters tell their noises apart.

    Coefficients are drawn from N(0, 1) and divided by their sum. A table is kept if, in three trials, its noise does
    not pass 50, and the filter of every table kept before responds to the noise, scaled to length 1, by at least 10
    (up to 10 classes) or 3. Trials have the size of the picture, but at least 32 pixels a side: many a table that is
    stable at 32 diverges at 224.

    What the 50 bounds is the length of the whole pattern, as in the authors' finder, although its help calls it an
    L-infinity norm; noise that passes it grows little from the corner where it starts to the opposite one. The finder
    only knows patterns of 32x32; on larger ones the bound grows with the square root of their pixels. `linf` bounds
    each value by itself: most of its tables lie beyond the length of 50, for their noise grows on its way.

    The paper searches until it finds. A first few tables can rule out all others, so here 5 % of the demand is let go
    after every pool of candidates that brings nothing.

    Args:
        classes: how many tables.
        height: of the pictures.
        width: of the pictures.
        norm: what the bound of 50 holds for: the noise's length, or each of its values.
        generator: source of tables and trials.

    Returns:
        [classes, 3, 3, 3] float32.

    References:
        Sandoval-Segura et al., Autoregressive perturbations for data poisoning (appendix A.3), NeurIPS 2022,
        https://arxiv.org/abs/2206.03693
    """
    required = 10.0 if classes <= 10 else 3.0
    found: list[Tensor] = []
    while True:
        before = len(found)
        tables, noises = _stable_tables(max(height, _SIDE), max(width, _SIDE), norm, generator)
        for earlier in found:
            tables, noises = _responding(tables, noises, earlier, required)
        while len(tables):
            found.append(tables[0])
            if len(found) == classes:
                return torch.stack(found)
            tables, noises = _responding(tables[1:], noises[1:], found[-1], required)
        if len(found) == before:
            required *= 0.95


def read_tables(path: Path) -> Tensor:
    """Read tables that were published: a list of [3, 3, 3], or one array [K, 3, 3, 3].

    Args:
        path: `.pt` or `.pth` as the authors publish them, or `.npy`.

    Returns:
        [K, 3, 3, 3] float32.

    Raises:
        DataError: the file is broken, or what it holds are no tables.
        UnsafeFileError: it asks for more than arrays.
    """
    remedy = "Name a file of coefficients: float [classes, 3, 3, 3], each 3x3 table with sum 1 and 0 at its end"
    try:
        tables = np.asarray(_read(path), dtype=np.float32)
    except (ValueError, TypeError, OSError, EOFError) as error:
        raise DataError(path, f"it holds no tables of coefficients ({error})", remedy) from None
    if tables.ndim != 4 or tables.shape[1:] != (3, 3, 3):
        raise DataError(path, f"it holds an array of shape {list(tables.shape)}", remedy)
    for label, table in enumerate(tables):
        # Published tables have four decimals. NaN is no sum either.
        if not np.abs(table.sum(axis=(1, 2)) - 1).max() <= 0.01 or table[:, 2, 2].any():
            raise DataError(path, "a table does not have sum 1 and 0 at its end", remedy, record=f"class {label}")
    return torch.from_numpy(tables.copy())  # torch wants an array that may be written to, and a file is none


def _read(path: Path) -> Any:
    return read_npy(path) if path.suffix == ".npy" else read_torch(path)


def _stable_tables(height: int, width: int, norm: SearchNorm, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Candidates [M, 3, 3, 3] with bounded noise, and their trials [M, 3, 3, H, W], each of length 1."""
    count = _POOL // (3 * (height + MARGIN) * (width + MARGIN))
    single = torch.randn(3, 3, max(count, 100), generator=generator)
    single[2, 2] = 0
    single /= single.sum(dim=(0, 1))
    # No channel may pass the bound by itself: they are rejected singly, and three of those that are left are a table.
    for rows, columns in sorted({(_SIDE, _SIDE), (height, width)}):  # the small size sorts most of them out at once
        start = torch.randn(rows + MARGIN, columns + MARGIN, _TRIALS, single.shape[-1], generator=generator)
        trials = autoregress(start, single[:, :, None])[MARGIN:, MARGIN:]
        stable = _bounded(trials, (0, 1), norm).all(dim=0)
        single, trials = single[..., stable], trials[..., stable]
    whole = 3 * (single.shape[-1] // 3)
    tables = single[..., :whole].unflatten(-1, (-1, 3)).permute(2, 3, 0, 1)
    noises = trials[..., :whole].unflatten(-1, (-1, 3)).permute(3, 2, 4, 0, 1)
    kept = _bounded(noises, (2, 3, 4), norm).all(dim=1)
    tables, noises = tables[kept], noises[kept]
    return tables.contiguous(), noises / noises.square().sum(dim=(2, 3, 4), keepdim=True).sqrt()


def _bounded(noise: Tensor, dim: tuple[int, ...], norm: SearchNorm) -> Tensor:
    """Whether noise stays below the bound over the rows, columns and channels `dim`; NaN does not."""
    if norm == "linf":
        return noise.abs().amax(dim=dim) <= _LARGEST
    pixels = prod(noise.shape[axis] for axis in dim[-2:])
    lengths: Tensor = torch.linalg.vector_norm(noise, dim=dim)
    return lengths <= _LARGEST * sqrt(pixels) / _SIDE


def _responding(tables: Tensor, noises: Tensor, earlier: Tensor, required: float) -> tuple[Tensor, Tensor]:
    """The candidates to whose noise, in every trial, the filter of an earlier table responds enough."""
    response = F.conv2d(noises.flatten(0, 1), ar_filters(earlier[None])).relu().sum(dim=(1, 2, 3))
    kept = (response.view(-1, _TRIALS) >= required).all(dim=1)
    return tables[kept], noises[kept]
