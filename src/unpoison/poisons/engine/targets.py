"""Targets of triggerless attacks: by a published setup, by number and class, or from the seed."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import Field

from unpoison.core.classes import match_classes
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.settings import FileName, Settings
from unpoison.poisons.engine.setups import Setup, draw_setup, read_setups
from unpoison.poisons.protocol import ClassName, Resources, Target


class TargetSettings(Settings):
    """Who is attacked, with how many pictures. What is left out is drawn from the seed.

    Args:
        setups: file of the poisoning benchmark's setups, which then decide all of the below.
        setup: which of them, counted from 0.
        target_index: row of the target in the target set.
        intended_class: name or number of the class that it is to be taken for.
        poisons: pictures of that class that are perturbed.
    """

    setups: FileName | None = None
    setup: int = Field(default=0, ge=0)
    target_index: int | None = Field(default=None, ge=0)
    intended_class: ClassName | None = None
    poisons: int = Field(default=25, ge=1)


def find_setup(
    attack: str, image_set: ImageSet, settings: TargetSettings, *, generator: torch.Generator, resources: Resources
) -> tuple[Setup, Target]:
    """The setup that the settings ask for, and its target.

    Args:
        attack: its name, for errors.
        image_set: the pictures that may be perturbed.
        settings: see there.
        generator: draws what they leave out.
        resources: the target set, and the whole training set.

    Raises:
        SettingsError: the sets do not hold what is asked for.
    """
    target_set = match_classes(resources.need("target_set", attack), image_set.class_names, wanted_by=image_set.name)
    if settings.setups is None:
        setup = draw_setup(
            image_set,
            target_set,
            poisons=settings.poisons,
            target_index=settings.target_index,
            intended_class=settings.intended_class,
            generator=generator,
        )
    else:
        setup = _published(Path(settings.setups), settings.setup)
        if resources.clean_set is not None and len(resources.clean_set) != len(image_set):
            raise SettingsError(
                f"{attack}: setups count the rows of a whole training set, of which another attack has taken some; "
                "run this attack alone"
            )
    setup.check(image_set, target_set)
    picture = target_set.load([setup.target_index])[0]
    if picture.shape[:2] != tuple(image_set.sizes[0]):
        raise SettingsError(
            f"the target of {target_set.name} and the pictures of {image_set.name} differ in size; resize one of them"
        )
    return setup, Target(picture, setup.target_class, setup.base_class, setup.target_index)


def _published(path: Path, number: int) -> Setup:
    setups = read_setups(path)
    if number >= len(setups):
        raise SettingsError(f"setup={number}, but {path.name} holds {len(setups)}, counted from 0")
    return setups[number]
