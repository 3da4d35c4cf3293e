"""Noise keyed by image, and generators keyed by purpose: all randomness of the project."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from unpoison.core.errors import SettingsError

_CELL = 256  # fields larger than this a side are drawn cell by cell, so that a tile can draw its part alone


@dataclass(frozen=True)
class Window:
    """Where images lie within larger pictures, in pixels.

    Args:
        top: row of the picture that is the images' first.
        left: column of the picture that is the images' first.
        picture_height: height of the whole picture.
        picture_width: its width.
    """

    top: int
    left: int
    picture_height: int
    picture_width: int


@dataclass(frozen=True)
class Noise:
    """Gaussian noise in which every image has a stream of its own.

    What an image receives depends on the seed, the purpose, its id and the step, and on nothing else: not on the
    batch it travels in, nor on the device. It is drawn on the CPU and then moved. A window of a picture receives what
    that part of the whole picture would have.

    Args:
        seed: the run's seed.
        purpose: name of the consumer, e.g. `eclipse`.
        ids: one id per image of the batch.
        window: which part of their pictures the images of the batch are; None if they are whole.
    """

    seed: int
    purpose: str
    ids: Sequence[str]
    window: Window | None = None

    def child(self, name: str) -> Noise:
        """The noise of one link of a chain: same images, a purpose of its own."""
        return replace(self, purpose=f"{self.purpose}.{name}")

    def normal(self, like: Tensor, step: int | str) -> Tensor:
        """Standard normal noise for a batch.

        Args:
            like: [N, C, H, W]; gives shape and device. N is the number of ids.
            step: which draw of the run this is.

        Returns:
            [N, C, H, W] float32 on the device of `like`.
        """
        height, width = like.shape[2:]
        window = self.window or Window(0, 0, height, width)
        picture = (window.picture_height, window.picture_width)
        return self._draw(like, step, (window.top, window.left), (height, width), picture)

    def nodes(self, like: Tensor, step: int | str, cell: int) -> Tensor:
        """Standard normal values at the nodes of a coarse grid: every `cell`-th pixel of the whole picture, each way.

        Row 0 is the last row of nodes at or above the images' first row, row h - 1 the first below their last; so for
        the columns. The first node therefore lies at (top - top % cell, left - left % cell).

        Args:
            like: [N, C, H, W]; gives shape and device. N is the number of ids.
            step: which draw of the run this is.
            cell: pixels from node to node.

        Returns:
            [N, C, h, w] float32 on the device of `like`; h = (top + H - 1) // cell - top // cell + 2, w likewise.
        """
        height, width = like.shape[2:]
        window = self.window or Window(0, 0, height, width)
        top, left = window.top // cell, window.left // cell
        size = ((window.top + height - 1) // cell - top + 2, (window.left + width - 1) // cell - left + 2)
        field = ((window.picture_height - 1) // cell + 2, (window.picture_width - 1) // cell + 2)
        return self._draw(like, f"{step}/nodes{cell}", (top, left), size, field)

    def _draw(
        self, like: Tensor, step: int | str, start: tuple[int, int], size: tuple[int, int], field: tuple[int, int]
    ) -> Tensor:
        """The part of each image's random field that begins at `start` and has this size, [N, C, *size]."""
        count, channels = like.shape[:2]
        if count != len(self.ids):
            raise ValueError(f"noise was made for {len(self.ids)} images, got a batch of {count}")
        out = torch.empty(count, channels, *size)
        for row, image_id in enumerate(self.ids):
            key = f"{self.seed}/{self.purpose}/{image_id}/{step}"
            if size == field and max(field) <= _CELL:
                torch.randn(channels, *size, generator=_keyed(key), out=out[row])
            elif max(field) <= _CELL:
                whole = torch.randn(channels, *field, generator=_keyed(key))
                out[row] = whole[:, start[0] : start[0] + size[0], start[1] : start[1] + size[1]]
            else:
                _fill_from_cells(out[row], key, start)
        return out.to(like.device)


def run_noise(seed: int, ids: Sequence[str], place: Window | None = None) -> Noise:
    """The noise of a purification for some of its images.

    Args:
        seed: the run's seed.
        ids: of the images.
        place: where they lie in their pictures, if they are tiles.
    """
    return Noise(seed, "purify", ids, place)


def _fill_from_cells(out: Tensor, key: str, start: tuple[int, int]) -> None:
    """Fill [C, H, W] with the part at `start` of an endless field that is drawn in cells of 256 by 256."""
    channels, height, width = out.shape
    top, left = start
    for row in range(top - top % _CELL, top + height, _CELL):
        for column in range(left - left % _CELL, left + width, _CELL):
            # The whole cell is drawn and cut, so that it does not depend on the border of window or picture.
            cell = torch.randn(channels, _CELL, _CELL, generator=_keyed(f"{key}/{row},{column}"))
            part = out[:, max(row - top, 0) : row + _CELL - top, max(column - left, 0) : column + _CELL - left]
            down, right = max(top - row, 0), max(left - column, 0)
            part.copy_(cell[:, down : down + part.shape[1], right : right + part.shape[2]])


def check_seed(seed: Any) -> None:
    """Whether this can be the seed of a run, which its manifest keeps.

    Raises:
        SettingsError: no.
    """
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise SettingsError(f"seed {repr(seed)[:40]} is no whole number from 0 to {2**63 - 1}")


def secret_seed() -> int:
    """A seed from the system's randomness, which nobody can know beforehand."""
    return secrets.randbits(63)


def generator(seed: int, purpose: str, *, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for one purpose of a run (poisons, fitting, training), on the CPU unless a device is named."""
    return _keyed(f"{seed}/{purpose}", device)


def _keyed(key: str, device: torch.device | str = "cpu") -> torch.Generator:
    # torch keeps 32 bits of a seed, so among millions of draws some pairs coincide; no image ever meets its double.
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    return torch.Generator(device).manual_seed(seed)
