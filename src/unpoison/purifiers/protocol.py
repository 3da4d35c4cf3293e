"""Purifiers: what each declares of itself. CONTRIBUTING.md shows the smallest one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from unpoison.core.errors import RunError
from unpoison.core.images import ImageSet
from unpoison.core.noise import Noise
from unpoison.core.progress import OnStep
from unpoison.core.settings import Settings
from unpoison.dynamics.steps import OnImageStep, ShouldStop


class Purifier(ABC):
    """Maps a batch of untrusted images to purified ones.

    A purifier needs `Settings` and `purify`; what else it declares has a default. Settings that name weights are
    declared by their type, `core.settings.FileName`.

    Attributes:
        Settings: its settings model.
        settings: the settings it was made with.
        weights: sha256 of each weight file it uses, by file name.
        strength_255: standard deviation of the noise it adds, times 255; None if it adds none.
        halo: how many pixels around a pixel its result depends on, given images that begin and end on multiples of 16
            of their pictures; None if on the whole picture, which is then never cut into tiles.
        is_random: whether its result depends on the noise.
        strength_field: the setting that says how far it goes: `steps` where it is one walk of so many calls of
            `on_step`, `t` where it is a round trip to index t of its `model`, if it has one; empty if there is none.
        takes_denoiser: whether it can be made with `denoiser=`, a model in memory in place of the one in its settings.
        needs_whole_set: whether it is a `NeedsWholeSet`.
    """

    Settings: type[Settings]
    settings: Any
    weights: Mapping[str, str] = MappingProxyType({})
    strength_255: float | None = None
    halo: int | None = None
    is_random: bool = True
    strength_field: str = ""
    takes_denoiser: bool = False
    needs_whole_set: bool = False

    def __init__(self, settings: Any, *, device: torch.device):
        self.settings = settings

    @abstractmethod
    def purify(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        """Purify a batch.

        It runs in torch's inference mode (one from elsewhere without gradients, which it may ask for with
        `torch.enable_grad()`), on several threads at once, and in calls of one shape for pictures of one
        size: the last is filled up with copies, whose results are dropped. The images may be tiles of larger pictures,
        cut on multiples of 16. What becomes of an image may depend on it, its id and the seed, not on its neighbours.

        Args:
            images: [N, 3, H, W] float32 in [0, 1]; not changed.
            noise: source of all randomness, keyed by image; its `ids` are those of the images.
            on_step: called at the start of each walk and after each of its network calls, with its images as they stand
                (see `ImageStep`); never by a method without a network.
            should_stop: asked before each network call.

        Returns:
            [N, 3, H, W] float32 in [0, 1], on the same device.

        Raises:
            Stopped: `should_stop` said so.
        """


class NeedsWholeSet(Purifier):
    """A purifier that looks at the whole set once, before any of it is purified.

    Attributes:
        prepared: what it has found, fit for JSON; None before. It is kept with an unfinished run and hashed in the
            manifest, and whoever goes on with the run, on whatever machine, reads it in place of looking.
    """

    needs_whole_set = True
    prepared: Any = None

    @abstractmethod
    def prepare(
        self, image_set: ImageSet, *, generator: torch.Generator, on_step: OnStep | None = None
    ) -> NeedsWholeSet:
        """Look at a set, or learn from it.

        Args:
            image_set: the set as it came, also for a later link of a chain; labels of -1 are unknown. One that cannot
                do without raises a SettingsError.
            generator: the source of all randomness.
            on_step: called as the look goes on; a purifier from elsewhere may do without it.

        Returns:
            The purifier of this set; this one is not changed.
        """

    @abstractmethod
    def restore(self, prepared: Any) -> NeedsWholeSet:
        """The purifier of the set in which `prepared` was found, without looking."""

    def found(self) -> Any:
        """What it has found.

        Raises:
            RunError: it has not looked.
        """
        if self.prepared is None:
            name = type(self).__name__
            raise RunError(f"{name} looks at the whole set before it purifies any of it; call prepare first")
        return self.prepared
