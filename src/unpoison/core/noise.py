"""All randomness of the project: noise keyed by image, and generators keyed by purpose."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

_CELL = 256  # pictures larger than this a side draw cell by cell, so that a tile can draw its part alone


@dataclass(frozen=True)
class Noise:
    """Gaussian noise in which every image has a stream of its own.

    What an image receives depends on the seed, the purpose, its id and the step, and on nothing else: not on the
    batch it travels in, nor on the device. It is drawn on the CPU and then moved.

    Args:
        seed: the run's seed.
        purpose: name of the consumer, e.g. `eclipse`.
        ids: one id per image of the batch.
    """

    seed: int
    purpose: str
    ids: Sequence[str]

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
        count, channels, height, width = like.shape
        if count != len(self.ids):
            raise ValueError(f"noise was made for {len(self.ids)} images, got a batch of {count}")
        out = torch.empty(count, channels, height, width)
        for row, image_id in enumerate(self.ids):
            key = f"{self.seed}/{self.purpose}/{image_id}/{step}"
            if max(height, width) <= _CELL:
                torch.randn(channels, height, width, generator=_keyed(key), out=out[row])
                continue
            for top in range(0, height, _CELL):
                for left in range(0, width, _CELL):
                    # The whole cell is drawn and cut, so that it does not depend on the picture's border.
                    cell = torch.randn(channels, _CELL, _CELL, generator=_keyed(f"{key}/{top},{left}"))
                    part = out[row, :, top : top + _CELL, left : left + _CELL]
                    part.copy_(cell[:, : part.shape[1], : part.shape[2]])
        return out.to(like.device)


def generator(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator for one purpose of a run (poisons, fitting, training)."""
    return _keyed(f"{seed}/{purpose}")


def _keyed(key: str) -> torch.Generator:
    # torch keeps 32 bits of a seed, so among millions of draws some pairs coincide; no image ever meets its double.
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    return torch.Generator().manual_seed(seed)
