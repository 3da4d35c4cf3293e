"""Filters: purifiers that look at nothing but the picture."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from unpoison.core.noise import Noise
from unpoison.dynamics.steps import OnImageStep, ShouldStop
from unpoison.purifiers.protocol import Purifier


class Filter(Purifier):
    """A purifier without a network, without randomness, and without a look at the set: `apply` is all of it.

    It costs some passes over the pixels, and a picture comes out the same to the last bit in whatever batch it travels.
    """

    is_random = False
    halo: int | None = 0  # most look at one pixel at a time

    @abstractmethod
    def apply(self, images: Tensor) -> Tensor:
        """Filter a batch, [N, 3, H, W] float32 in [0, 1], which is not changed; gives the same shape and range."""

    def purify(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        return self.apply(images)
