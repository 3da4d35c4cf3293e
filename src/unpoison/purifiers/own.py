"""Purifiers from elsewhere, completed by what they may leave out."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from unpoison.core.errors import RunError, SettingsError
from unpoison.core.hashing import hash_file
from unpoison.core.images import ImageSet
from unpoison.core.methods import lend
from unpoison.core.noise import Noise
from unpoison.core.own import Own, address, declared_weights, settings_of
from unpoison.core.progress import OnStep
from unpoison.core.settings import Settings
from unpoison.dynamics.steps import OnImageStep, ShouldStop
from unpoison.nets.shipped import weights_path
from unpoison.purifiers.protocol import NeedsWholeSet, Purifier


class OwnPurifier(Own):
    """Makes somebody's purifier from its settings, as a class of unpoison's would.

    Args:
        name: by which it is called.
        given: a class, called with `(settings, device=)`, or with nothing if it has no `__init__`; or an object, whose
            settings are its own.

    Raises:
        SettingsError: it has no `purify`, or declares what no purifier can be.
    """

    def __init__(self, name: str, given: Any):
        super().__init__(name, given, needs="purify")
        self.Settings = settings_of(given)
        self.strength_field = getattr(given, "strength_field", Purifier.strength_field)
        self.takes_denoiser = getattr(given, "takes_denoiser", Purifier.takes_denoiser)
        self.is_random = getattr(given, "is_random", Purifier.is_random)
        self.needs_whole_set = callable(getattr(given, "prepare", None))
        if self.needs_whole_set and not callable(getattr(given, "restore", None)):
            raise SettingsError(f"purifier '{name}' has prepare() and no restore(); see NeedsWholeSet")

    def __call__(self, settings: Settings, *, device: torch.device, **model: Any) -> Purifier:
        if not self.is_class:
            made = self.given
        elif self.given.__init__ is object.__init__:
            made = self.given()
            made.settings = settings
        else:
            made = self.given(settings, device=device, **model)
        return _WholeSet(self, made, settings) if self.needs_whole_set else _Complete(self, made, settings)


class _Complete(Purifier):
    """A purifier with the defaults of `Purifier` for what it left out, given those hooks that it takes.

    Raises:
        SettingsError: its `halo` is no number of pixels.
    """

    def __init__(self, own: OwnPurifier, made: Any, settings: Settings):
        self.settings, self._own, self._made = settings, own, made
        self.is_random = own.is_random
        self._takes = {"on_step", "should_stop"}.intersection(inspect.signature(made.purify).parameters)
        self.model = getattr(made, "model", None)
        self.weights = declared_weights(made) or _hashes(settings)
        self.strength_255 = getattr(made, "strength_255", Purifier.strength_255)
        self.halo = getattr(made, "halo", Purifier.halo)
        if self.halo is not None and (type(self.halo) is not int or self.halo < 0):
            raise SettingsError(f"purifier '{own.name}' has halo {self.halo!r}; give a number of pixels, or None")

    def purify(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        hooks = {"on_step": on_step, "should_stop": should_stop}
        taken = {name: hook for name, hook in hooks.items() if name in self._takes}
        # Runs compute in inference mode, whose tensors know no gradients; code from elsewhere may ask for some.
        with torch.inference_mode(False), torch.no_grad():
            purified = self._made.purify(images.clone(), noise=noise, **taken)
        if not isinstance(purified, Tensor) or purified.shape != images.shape:
            found = list(purified.shape) if isinstance(purified, Tensor) else type(purified).__name__
            raise RunError(f"purifier '{self._own.name}' made {found} of images {list(images.shape)}; keep their shape")
        return purified


class _WholeSet(_Complete, NeedsWholeSet):
    """The same for one that looks at the whole set first."""

    def __init__(self, own: OwnPurifier, made: Any, settings: Settings):
        super().__init__(own, made, settings)
        self.prepared = getattr(made, "prepared", None)

    def prepare(self, image_set: ImageSet, *, generator: torch.Generator, on_step: OnStep | None = None) -> _WholeSet:
        takes = inspect.signature(self._made.prepare).parameters
        hook = {"on_step": on_step} if "on_step" in takes else {}
        return _WholeSet(self._own, self._made.prepare(image_set, generator=generator, **hook), self.settings)

    def restore(self, prepared: Any) -> _WholeSet:
        return _WholeSet(self._own, self._made.restore(prepared), self.settings)


@contextmanager
def named_purifier(method: Any) -> Iterator[str]:
    """The name by which a class or object can be used while the context lasts; a name is given back as it is."""
    if isinstance(method, str):
        yield method
        return
    name = address(method)
    with lend({"purifier": {name: OwnPurifier(name, method)}}):
        yield name


def _hashes(settings: Settings) -> dict[str, str]:
    paths = [weights_path(text) for text in settings.named_files().values()]
    return {path.name: hash_file(path) for path in paths if path.is_file()}
