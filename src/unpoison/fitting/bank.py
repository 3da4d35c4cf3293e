"""The bank of persistent chains: where each Langevin chain of an energy model's training stands."""

from __future__ import annotations

import torch
from torch import Tensor

from unpoison.core.pixels import to_float


class Bank:
    """Images that Langevin chains have reached so far.

    They are kept in half precision: the rounding, at most 1/2048 beside values of 1, drowns in the noise of a single
    Langevin step (0.0125).

    Args:
        images: [M, C, H, W] in units of [-1, 1], which they may leave.
    """

    def __init__(self, images: Tensor):
        self.images = images.half()

    @classmethod
    def from_data(cls, pixels: Tensor, *, size: int, noise: float, generator: torch.Generator) -> Bank:
        """A bank of noisy images of the data; none is in it more than M / N times, rounded up.

        Args:
            pixels: [N, H, W, C] uint8, the data.
            size: M, chains.
            noise: standard deviation of the noise, in units of [-1, 1].
            generator: source of choice and noise, on the CPU.
        """
        passes = -(-size // len(pixels))
        rows = torch.randperm(len(pixels) * passes, generator=generator)[:size] % len(pixels)
        images = 2 * to_float(pixels[rows].numpy()) - 1
        return cls(images + noise * torch.randn(images.shape, generator=generator))

    def __len__(self) -> int:
        return len(self.images)

    def draw(self, count: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Some chains, none of them twice.

        Args:
            count: how many.
            generator: source of the choice, on the device of the bank.

        Returns:
            Their slots, [count] int64, and where they stand, [count, C, H, W] float32.
        """
        slots = torch.randperm(len(self), generator=generator, device=generator.device)[:count]
        return slots, self.images[slots].float()

    def write(self, slots: Tensor, images: Tensor) -> None:
        """Put chains back.

        Args:
            slots: [count], as drawn.
            images: [count, C, H, W], where they stand now.
        """
        self.images[slots] = images.half()


def rejuvenate(chains: Tensor, data: Tensor, *, rate: float, generator: torch.Generator) -> Tensor:
    """Start some chains again at images of the data.

    The published code takes images that carry the data noise already and adds the noise again; here it is there once.
    The chain's own noise is many times larger either way.

    Args:
        chains: [N, C, H, W].
        data: [N, C, H, W], noisy images of the data.
        rate: chance of each chain.
        generator: source of the choice, on the device of the chains.
    """
    again = torch.rand(len(chains), generator=generator, device=generator.device) < rate
    return torch.where(again.view(-1, 1, 1, 1), data, chains)
