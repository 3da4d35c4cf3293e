"""What every attack gives back, and the arithmetic that most of them end with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch

from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.settings import Settings

Kind = Literal["availability", "triggered", "triggerless"]
Quantise = Literal["round", "truncate"]


@dataclass(frozen=True)
class PoisonedSet:
    """Images after an attack, in the order of the set that was attacked.

    Args:
        images: [N, H, W, 3] uint8.
        ids: ids of the poisoned images.
        kind: what the attack is after.
        trigger: [H, W, 3] float32 in [0, 1] units, added at test time to set off a triggered attack.
        target: for a triggerless attack, which picture is to be misread and as what.
    """

    images: np.ndarray
    ids: tuple[str, ...]
    kind: Kind
    trigger: np.ndarray | None = None
    target: dict[str, Any] | None = None


class Poison(Protocol):
    """An attack: a settings model, and a function from a set to its poisoned form."""

    Settings: type[Settings]

    def craft(self, image_set: ImageSet, settings: Any, *, generator: torch.Generator) -> PoisonedSet:
        """Perturb every image of a set of one size. Length, order and labels stay.

        Args:
            image_set: labelled images; the caller has chosen those to poison.
            settings: an instance of `Settings`.
            generator: the source of all randomness.
        """
        ...


def add_and_quantise(images: np.ndarray, delta: np.ndarray, quantise: Quantise) -> np.ndarray:
    """Clean images plus perturbation, as they are stored.

    Args:
        images: [N, H, W, C] uint8.
        delta: [N, H, W, C] float in [0, 1] units.
        quantise: `round` to the nearest level, or `truncate` as some of the original releases do.

    Returns:
        [N, H, W, C] uint8.
    """
    levels = np.clip(images + 255.0 * delta, 0, 255)
    return (np.rint(levels) if quantise == "round" else np.floor(levels)).astype(np.uint8)


def require_labels(image_set: ImageSet, attack: str) -> None:
    """Refuse a set in which some picture has no label."""
    if (image_set.labels < 0).any():
        raise SettingsError(f"{attack} works class by class, but {image_set.name} has pictures without a label")
