"""The interface of a purifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from unpoison.core.noise import Noise
from unpoison.core.settings import Settings
from unpoison.dynamics.steps import OnImageStep, ShouldStop


class Purifier(Protocol):
    """Maps a batch of untrusted images to purified ones.

    Attributes:
        Settings: its settings model.
        settings: the settings it was made with.
        weights: sha256 of each weight file it uses, by file name.
        strength_255: standard deviation of the noise it adds, times 255; None if it adds none.
        halo: how many pixels around a pixel its result depends on, given images that begin and end on multiples of 16
            of their pictures; None if on the whole picture, which is then never cut into tiles.
    """

    Settings: type[Settings]
    settings: Any
    weights: Mapping[str, str]
    strength_255: float | None
    halo: int | None

    def __init__(self, settings: Any, *, device: torch.device): ...

    def purify(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        """Purify a batch.

        Args:
            images: [N, 3, H, W] float32 in [0, 1]; not changed.
            noise: source of all randomness, keyed by image.
            on_step: called at the start of each walk and after each of its network calls, with its images as they stand
                (see `ImageStep`); never by a method without a network.
            should_stop: asked before each network call.

        Returns:
            [N, 3, H, W] float32 in [0, 1], on the same device.

        Raises:
            Stopped: `should_stop` said so.
        """
        ...
