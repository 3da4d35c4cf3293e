"""A mixture of attacks that share a set: which one poisons which pictures."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unpoison.core.chains import split_fields
from unpoison.core.errors import SettingsError
from unpoison.core.hashing import hash_file
from unpoison.core.images import ImageSet
from unpoison.core.precision import resolve
from unpoison.core.settings import Settings, build_settings, list_profiles, read_profile
from unpoison.nets.shipped import SHIPPED
from unpoison.poisons.methods import METHODS, load_attack
from unpoison.poisons.protocol import class_number

_ROOM = "unpoison.poisons"


@dataclass(frozen=True)
class Ingredient:
    """One attack and its share of the set.

    Args:
        attack: name of the attack.
        settings: its settings.
        fraction: share of every class that it poisons, above 0 and up to 1; attacks that choose for themselves take
            no fraction.
        classes: names of the classes that it may poison; empty for all.
    """

    attack: str
    settings: Settings
    fraction: float = 1.0
    classes: tuple[str, ...] = ()

    def resolved(self, device: torch.device) -> Ingredient:
        """The part with the arithmetic of its networks in place of `auto`."""
        return replace(self, settings=resolve(self.settings, device))

    def describe(self) -> dict[str, Any]:
        """As JSON, for manifests and records; files by their names, without the folders of this machine."""
        only = {"classes": list(self.classes)} if self.classes else {}
        return {**self.settings.described(), "fraction": self.fraction, **only}

    def files(self) -> dict[str, str]:
        """sha256 of every file that the settings name, by its name."""
        paths = [Path(text) for text in self.settings.named_files().values() if text not in SHIPPED]
        return {path.name: hash_file(path) for path in paths}


def attack_settings(
    attack: str, *, profiles: Sequence[str] = (), overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Settings of an attack from profiles and single values.

    The shipped profiles have a section for each attack; a user's own file holds the fields themselves.

    Raises:
        SettingsError: unknown attack, profile or field.
    """
    model = load_attack(attack).Settings
    values: dict[str, Any] = {}
    for profile in profiles:
        values.update(read_profile(profile, _ROOM, section=attack))
    settings: Settings = build_settings(model, overrides={**values, **(overrides or {})}, of=attack)
    return settings


def nearest_profile(attack: str, settings: Settings) -> dict[str, Any]:
    """Which shipped profile, or chain of two, the settings are closest to, and the fields in which they differ.

    Precision is none of them: it is the machine's.
    """
    shipped = list_profiles(_ROOM, section=attack)
    chains = [(), *((name,) for name in shipped), *itertools.permutations(shipped, 2)]

    def changed(chain: tuple[str, ...]) -> list[str]:
        base = attack_settings(attack, profiles=chain)
        fields = (name for name in type(settings).model_fields if name != "precision")
        return [name for name in fields if getattr(settings, name) != getattr(base, name)]

    nearest = min(chains, key=lambda chain: len(changed(chain)))
    return {"profile": ",".join(nearest) or ("paper" if attack in METHODS else "default"), "changed": changed(nearest)}


def read_mixture(
    attack: str, *, profiles: Sequence[str] = (), overrides: Mapping[str, Any] | None = None
) -> list[Ingredient]:
    """The ingredients of `lsp`, or of a mixture like `lsp+tap`.

    Args:
        attack: an attack, or several joined by `+`; each at most once.
        profiles: of every attack.
        overrides: a field of the settings, `fraction` or `classes` to value; in a mixture `attack.field`, and the
            set is shared out evenly unless fractions are given.

    Raises:
        SettingsError: an unknown attack, profile or field.
    """
    of_each = split_fields(attack, overrides or {}, kind="attack")
    even = 1 / len(of_each)
    return [
        _ingredient(name, fields.pop("fraction", even), fields.pop("classes", ()), profiles, fields)
        for name, fields in of_each.items()
    ]


def _ingredient(
    name: str, fraction: Any, classes: Any, profiles: Sequence[str], overrides: Mapping[str, Any]
) -> Ingredient:
    named = classes if isinstance(classes, (list, tuple)) else str(classes).split(",") if classes != "" else ()
    return Ingredient(
        name,
        attack_settings(name, profiles=profiles, overrides=overrides),
        check_fraction(fraction),
        tuple(map(str, named)),
    )


def check_fraction(fraction: Any) -> float:
    """The share of a class, as it is.

    Raises:
        SettingsError: it is no number above 0 and up to 1.
    """
    if not isinstance(fraction, (int, float)) or not 0 < fraction <= 1:
        raise SettingsError(f"fraction is {fraction}; it must lie above 0 and not above 1")
    return fraction


def choose_rows(image_set: ImageSet, part: Ingredient, free: np.ndarray, source: torch.Generator) -> np.ndarray:
    """Rows that a part poisons, ascending: the same share of each of its classes, at least one picture of each.

    Args:
        image_set: the whole set; the share is of its classes.
        part: the attack.
        free: [N] bool, pictures that no earlier part has taken.
        source: decides which, unless a part takes all.

    Raises:
        SettingsError: a class has too few pictures left, or there is no such class.
    """
    labels = [class_number(image_set, name) for name in part.classes] or np.unique(image_set.labels).tolist()
    rows = []
    for label in labels:
        members = np.flatnonzero(image_set.labels == label)
        left = members[free[members]]
        count = max(1, round(part.fraction * len(members)))
        if count > len(left):
            raise SettingsError(
                f"{part.attack} is to poison {count} pictures of one class, and the others leave {len(left)}; "
                "give the attacks smaller fractions"
            )
        drawn = left if count == len(left) else left[torch.randperm(len(left), generator=source)[:count].numpy()]
        rows.append(drawn)
    return np.sort(np.concatenate(rows))
