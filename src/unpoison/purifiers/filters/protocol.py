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
    Where `apply` rounds, an attacker's gradient goes straight through, as if the picture had not changed.

    References:
        Gradients through what has none: Athalye, Carlini, Wagner, Obfuscated gradients give a false sense of security,
        ICML 2018, https://arxiv.org/abs/1802.00420
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
        filtered = self.apply(images)
        if images.requires_grad and not filtered.requires_grad:
            return images + (filtered - images).detach()
        return filtered
