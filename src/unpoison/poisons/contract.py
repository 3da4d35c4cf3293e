"""The contract that every attack must keep to, checked on a small set: for tests of one's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from unpoison.core.errors import RunError
from unpoison.core.images import ArrayImageSet
from unpoison.poisons.crafting import poison_mixture
from unpoison.poisons.methods import load_attack
from unpoison.poisons.mixture import read_mixture
from unpoison.poisons.own import named_attack
from unpoison.poisons.protocol import Resources


def check_attack(attack: Any, *, resources: Resources | None = None, side: int = 32, **settings: Any) -> None:
    """Try an attack on random pictures of two classes, on the CPU.

    Args:
        attack: as for `poison`: a name, `package.module:Class`, a class or an object.
        resources: what else it needs.
        side: of the pictures, in pixels.
        **settings: its fields; small ones, so that it is quick.

    Raises:
        RunError: says which rule is broken.
        SettingsError: it is no attack, or the settings are wrong.
    """
    images = np.random.default_rng(0).integers(0, 256, (12, side, side, 3), dtype=np.uint8)
    labels = [row % 2 for row in range(len(images))]
    clean = ArrayImageSet(images, labels, class_names=["first", "second"], name="random")
    given = replace(resources or Resources(), device="cpu")
    with named_attack(attack) as name:
        (part,) = read_mixture(name, overrides=settings)
        own = part.settings
        _rule(type(own).model_validate_json(own.model_dump_json()) == own, name, "its settings survive JSON")
        first, again = (poison_mixture(clean, [part], seed=0, resources=given) for _ in range(2))
        crafted = first.parts[name]
        _rule(np.array_equal(clean.array(), images), name, "the pictures that it is given are not changed")
        _rule(crafted.images.dtype == np.uint8, name, "pictures are given back as they are stored, in 8 bits")
        _rule(set(crafted.ids) <= set(clean.ids), name, "ids are those of the pictures that it was given")
        _rule(crafted.kind == load_attack(name).kind, name, f"it declares the kind that it gives, {crafted.kind}")
        _rule(not np.array_equal(first.image_set.array(), images), name, "it changes some picture")
        same = np.array_equal(first.image_set.array(), again.image_set.array())
        _rule(same, name, "the same seed gives the same bytes; draw from `generator` alone")
        if not load_attack(name).chooses:
            half = poison_mixture(clean, [replace(part, fraction=0.5)], seed=0, resources=given)
            _rule(len(half.ids) == 6, name, "it poisons all that it is given; one that picks declares chooses = True")


def _rule(holds: bool, name: str, rule: str) -> None:
    if not holds:
        raise RunError(f"attack '{name}' breaks a rule: {rule}")
