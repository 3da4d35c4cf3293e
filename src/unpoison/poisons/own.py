"""Attacks from elsewhere, completed by what they may leave out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from unpoison.core.errors import RunError
from unpoison.core.images import ImageSet
from unpoison.core.methods import lend
from unpoison.core.own import Own, address, settings_of
from unpoison.core.settings import Settings
from unpoison.poisons.protocol import Attack, PoisonedSet, Resources


class OwnAttack(Own):
    """Gives somebody's attack, as a class of unpoison's would be made.

    Args:
        name: by which it is called.
        given: a class, called without arguments; or an object.

    Raises:
        SettingsError: it has no `craft`.
    """

    def __init__(self, name: str, given: Any):
        super().__init__(name, given, needs="craft")
        self.Settings = settings_of(given)
        self.kind = getattr(given, "kind", Attack.kind)
        self.chooses = bool(getattr(given, "chooses", Attack.chooses))
        self.uses = tuple(getattr(given, "uses", Attack.uses))

    def __call__(self) -> OwnAttack:
        return self

    def craft(
        self, image_set: ImageSet, settings: Settings, *, generator: torch.Generator, resources: Resources
    ) -> PoisonedSet:
        """What the attack makes of a set, if that can be stored."""
        attack = self.given() if self.is_class else self.given
        crafted = attack.craft(image_set, settings, generator=generator, resources=resources)
        if not isinstance(crafted, PoisonedSet):
            raise RunError(f"attack '{self.name}' gave a {type(crafted).__name__}; craft must give a PoisonedSet")
        images, strangers = crafted.images, set(crafted.ids) - set(image_set.ids)
        if images.dtype != np.uint8 or images.shape != (len(crafted.ids), *images.shape[1:3], 3):
            raise RunError(
                f"attack '{self.name}' gave {len(crafted.ids)} ids with pictures {images.dtype} {list(images.shape)}; "
                "they must be uint8 [N, H, W, 3], one for each id"
            )
        if strangers or len(set(crafted.ids)) < len(crafted.ids):
            raise RunError(f"attack '{self.name}' gave ids that it was not given, or one twice")
        return crafted


@contextmanager
def named_attack(attack: Any) -> Iterator[str]:
    """The name by which a class or object can be used while the context lasts; a name is given back as it is."""
    if isinstance(attack, str):
        yield attack
        return
    name = address(attack)
    with lend({"attack": {name: OwnAttack(name, attack)}}):
        yield name
