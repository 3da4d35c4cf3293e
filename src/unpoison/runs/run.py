"""The order for a run: method, settings, seed and microbatch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from unpoison.core.errors import SettingsError
from unpoison.core.noise import check_seed, secret_seed
from unpoison.core.precision import resolve
from unpoison.core.settings import Settings


@dataclass(frozen=True)
class PurifyRun:
    """What is to be done to a set. Equal runs on equal machines give equal bytes.

    Args:
        settings: purifier name -> its settings, in the order of the chain; `purifier_settings` makes it.
        seed: seed of all noise, from 0.
        microbatch: images of one network call, from 1 to 4096.
        copies: draws of every picture that the set made holds, each under its own id, see `draw_id`; from 1 to 1000.
        is_secret: whether nobody asked for the seed, so that a run that was begun goes on with its own.

    Raises:
        SettingsError: one of them is no such number.
    """

    settings: Mapping[str, Settings]
    seed: int = 0
    microbatch: int = 64
    copies: int = 1
    is_secret: bool = False

    @classmethod
    def seeded(cls, settings: Mapping[str, Settings], seed: int | None, *, copies: int = 1) -> PurifyRun:
        """A run with the seed that was asked for; if that is None, with a secret one from the system.

        Whoever knows the seed knows the noise, and can make a poison that outlives it.
        """
        if seed is None:
            return cls(settings, seed=secret_seed(), copies=copies, is_secret=True)
        return cls(settings, seed=seed, copies=copies)

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if type(self.microbatch) is not int or not 1 <= self.microbatch <= 4096:
            raise SettingsError(f"microbatch {repr(self.microbatch)[:40]} is no whole number from 1 to 4096")
        if type(self.copies) is not int or not 1 <= self.copies <= 1000:
            raise SettingsError(f"copies {repr(self.copies)[:40]} is no whole number from 1 to 1000")

    @property
    def method(self) -> str:
        """The name of the method, chains with `+`."""
        return "+".join(self.settings)

    def seeded_as(self, begun: Any) -> PurifyRun:
        """The run with the seed of one that was begun, as a file tells it, unless another was asked for."""
        if not self.is_secret or type(begun) is not int:
            return self
        return replace(self, seed=begun)

    def resolved(self, device: torch.device, begun: Mapping[str, Any] | None = None) -> PurifyRun:
        """The run with the arithmetic of its networks in place of every `auto`.

        Args:
            device: where it computes.
            begun: settings of an unfinished run that this one goes on with, as `describe` gives them; theirs are kept.
        """

        before = {name: fields.get("precision") for name, fields in (begun or {}).items() if isinstance(fields, dict)}
        settings = {name: resolve(fields, device, before.get(name)) for name, fields in self.settings.items()}
        return replace(self, settings=settings)

    @property
    def precision(self) -> str:
        """What the bytes of the run depend on most: its networks' `bf16`, else `fp32`, else `int8`."""
        found = {getattr(settings, "precision", "fp32") for settings in self.settings.values() if not settings.is_exact}
        return next((name for name in ("bf16", "fp32", "int8") if name in found), "fp32")

    def describe(self) -> dict[str, Any]:
        """The settings as a manifest keeps them: weight files by name, without their folder."""
        described = {name: settings.described() for name, settings in self.settings.items()}
        copies = {"copies": self.copies} if self.copies > 1 else {}
        return {**described, "microbatch": self.microbatch, **copies}
