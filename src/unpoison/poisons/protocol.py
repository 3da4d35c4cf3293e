"""Attacks: what each declares of itself, is given and gives back. CONTRIBUTING.md shows the smallest one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BeforeValidator

from unpoison.classify.classifier import Classifier
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.progress import OnStep
from unpoison.core.settings import Settings

Kind = Literal["availability", "triggered", "triggerless"]
Quantise = Literal["round", "truncate"]
# Name or number of a class; a number may come as one.
ClassName = Annotated[str, BeforeValidator(str)]


@dataclass(frozen=True)
class Trigger:
    """What sets off a triggered attack at test time.

    Args:
        delta: [h, w, 3] float32 in [0, 1] units; as large as the picture where it is added.
        target_class: the class that a picture with the trigger is taken for.
        mode: `add` to the picture, or `patch` over a part of it.
        top: row of the patch's upper edge.
        left: column of its left edge.
    """

    delta: np.ndarray
    target_class: int
    mode: Literal["add", "patch"] = "add"
    top: int = 0
    left: int = 0

    def apply(self, images: np.ndarray, *, scale: float = 1.0) -> np.ndarray:
        """Pictures with the trigger, as they would be stored.

        Args:
            images: [N, H, W, 3] uint8; not changed.
            scale: what an added trigger is multiplied by; a patch has no scale.

        Returns:
            [N, H, W, 3] uint8.
        """
        if self.mode == "add":
            return add_and_quantise(images, scale * self.delta[None], "round")
        height, width = self.delta.shape[:2]
        stamped = images.copy()
        patch = np.rint(255 * self.delta.clip(0, 1)).astype(np.uint8)
        stamped[:, self.top : self.top + height, self.left : self.left + width] = patch
        return stamped


@dataclass(frozen=True)
class Target:
    """The one picture that a triggerless attack wants misread.

    Args:
        image: [H, W, 3] uint8.
        true_class: what it shows.
        intended_class: what it is to be taken for.
        index: its row in the set it is from; None if that is not known.
    """

    image: np.ndarray
    true_class: int
    intended_class: int
    index: int | None = None


@dataclass(frozen=True)
class PoisonedSet:
    """The pictures that an attack has perturbed.

    Args:
        images: [N, H, W, 3] uint8, one for each of `ids`, in their order.
        ids: ids of the poisoned pictures.
        kind: what the attack is after.
        trigger: of a triggered attack.
        target: of a triggerless attack.
        facts: what else the manifest should say, e.g. losses before and after.
    """

    images: np.ndarray
    ids: tuple[str, ...]
    kind: Kind
    trigger: Trigger | None = None
    target: Target | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Resources:
    """What an attacker has besides the pictures to poison.

    Args:
        clean_set: the whole clean training set, to train surrogates on; `poison` fills it in.
        surrogates: trained classifiers; without any, an attack that needs one trains its own.
        auxiliary: a labelled set of other classes (Narcissus).
        target_set: the clean set that holds the picture to be misread.
        device: where to compute: `auto`, `cpu`, `cuda`, ...
        on_step: called as the work goes on.
    """

    clean_set: ImageSet | None = None
    surrogates: Sequence[Classifier] = ()
    auxiliary: ImageSet | None = None
    target_set: ImageSet | None = None
    device: str = "auto"
    on_step: OnStep | None = None

    def need(self, name: Literal["clean_set", "auxiliary", "target_set"], attack: str) -> ImageSet:
        """One of the sets.

        Raises:
            SettingsError: it was not given.
        """
        found: ImageSet | None = getattr(self, name)
        if found is None:
            option = f"--{name.replace('_', '-')}"
            raise SettingsError(
                f"{attack} needs a further set of pictures: name it with {option}, or {name}= in Python"
            )
        return found


class Attack(ABC):
    """A settings model, and a function from a set to its poisoned form.

    An attack needs `Settings` and `craft`; what else it declares has a default. Settings that name files are declared
    by their type, `core.settings.FileName`.

    Attributes:
        Settings: its settings model.
        kind: what it is after, as its `PoisonedSet` says.
        chooses: whether it picks its victims among the pictures it is given; else it poisons all of them.
        uses: which of `surrogates`, `auxiliary` and `target_set` it takes from the attacker's resources.
    """

    Settings: type[Settings]
    kind: Kind = "availability"
    chooses: bool = False
    uses: tuple[str, ...] = ()

    @abstractmethod
    def craft(
        self, image_set: ImageSet, settings: Any, *, generator: torch.Generator, resources: Resources
    ) -> PoisonedSet:
        """Perturb pictures of one size. Labels stay.

        Args:
            image_set: the labelled pictures that may be poisoned.
            settings: an instance of `Settings`.
            generator: the source of all randomness.
            resources: what else the attacker has.

        Returns:
            The poisoned pictures as they are stored, uint8, each with its id of `image_set`.

        Raises:
            SettingsError: it cannot be used on this set, or lacks a resource.
        """


def add_and_quantise(images: np.ndarray, delta: np.ndarray, quantise: Quantise) -> np.ndarray:
    """Clean images plus perturbation, as they are stored.

    Args:
        images: [N, H, W, C] uint8.
        delta: [N, H, W, C] float in [0, 1] units.
        quantise: `round` to the nearest level, or `truncate` as some of the original releases do.

    Returns:
        [N, H, W, C] uint8.
    """
    # The noise alone becomes whole levels, halves upwards: equal noise is stored equally on whatever picture.
    levels = np.floor(255.0 * delta + (0.5 if quantise == "round" else 0.0)).astype(np.int16)
    return np.clip(images + levels, 0, 255).astype(np.uint8)


def require_labels(image_set: ImageSet, attack: str) -> None:
    """Refuse a set in which some picture has no label."""
    if (image_set.labels < 0).any():
        raise SettingsError(f"{attack} works class by class, but {image_set.name} has pictures without a label")


def class_number(image_set: ImageSet, name: str) -> int:
    """The class of a name, or of a number written out.

    Raises:
        SettingsError: the set has no such class.
    """
    if name in image_set.class_names:
        return image_set.class_names.index(name)
    if name.isdigit() and int(name) < len(image_set.class_names):
        return int(name)
    raise SettingsError(f"{image_set.name} has no class '{name}'; it has {', '.join(image_set.class_names[:12])}")
