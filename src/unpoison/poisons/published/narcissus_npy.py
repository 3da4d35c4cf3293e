"""Triggers of Narcissus: `best_noise_lab2.npy`, float32 [1, 3, H, W], added where white is 1 and black is -1.

There a bound of 16/255 shows as 32/255: in our units, the file's numbers are halved. The paper adds three times the
trigger at test time, PureGen the trigger itself.

Reference: Zeng et al., Narcissus: A Practical Clean-Label Backdoor Attack with Limited Information, 2023,
https://arxiv.org/abs/2204.05255.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional as F

from unpoison.core.errors import DataError, SettingsError
from unpoison.core.files import atomic_path
from unpoison.core.images import ImageSet
from unpoison.core.settings import Settings
from unpoison.data.format import is_file
from unpoison.data.official.stl10 import CLASSES as STL10
from unpoison.data.safe.npy import read_npy
from unpoison.poisons.protocol import Trigger, add_and_quantise, class_number
from unpoison.poisons.published.base import Published, PublishedFormat

# Where STL-10 numbers a class differently; its monkeys take the trigger of the frogs, as in PureGen.
_STL10_OF_CIFAR = {1: 2, 2: 1, 6: 7, 7: 6}
_NAME = re.compile(r"best_noise_lab(\d{1,3})\.npy")


class NarcissusFileSettings(Settings):
    """Which pictures get the trigger.

    Args:
        target_class: name or number of the class; taken from names like `best_noise_lab2.npy` if left out.
        images: how many of its pictures.
        choose: the `last` of the class, as PureGen, or `draw` them by the seed.
    """

    target_class: str | None = Field(default=None, coerce_numbers_to_str=True)
    images: int = Field(default=500, ge=1)
    choose: Literal["last", "draw"] = "last"


def read_narcissus_npy(path: Path) -> np.ndarray:
    """The trigger in a file: [H, W, 3] float32 in [0, 1] units, at most 1 either way.

    Raises:
        DataError: it is not of this kind.
    """
    return halve_trigger(path, read_npy(path))


def halve_trigger(path: Path, stored: np.ndarray) -> np.ndarray:
    """[1, 3, H, W] in [-1, 1] units to [H, W, 3] in [0, 1] units."""
    if stored.ndim != 4 or stored.shape[:2] != (1, 3) or stored.dtype.kind != "f" or 0 in stored.shape:
        raise DataError(
            path, f"it holds {stored.dtype} {list(stored.shape)}, a trigger is float [1, 3, H, W]", "Name its format"
        )
    if not (np.abs(stored) <= 2).all():
        raise DataError(path, "it has a value that is not a number from -2 to 2", "Fetch it again")
    trigger: np.ndarray = stored[0].transpose(1, 2, 0) / 2
    return trigger.astype(np.float32)


def write_narcissus_npy(trigger: Trigger, path: Path) -> None:
    """Write a trigger as others read it: float32 [1, 3, H, W] in [-1, 1] units.

    Args:
        trigger: one that is added.
        path: file to make, by custom `best_noise_lab{class}.npy`.

    Raises:
        SettingsError: the trigger is a patch, which the format cannot hold.
    """
    if trigger.mode != "add":
        raise SettingsError("a patch is no Narcissus trigger; it is stored with the manifest as trigger.npy")
    stored = np.ascontiguousarray(2 * trigger.delta.transpose(2, 0, 1)[None], np.float32)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.save(file, stored)


def read_narcissus(
    path: Path, part: str | None, clean: ImageSet, settings: NarcissusFileSettings, source: torch.Generator
) -> Published:
    """Add the trigger to some pictures of its class."""
    delta = read_narcissus_npy(path)
    originals = clean.array()
    # STL-10 has no triggers of its own: those of CIFAR-10 go on it, resized, each on the class that it was made for.
    borrowed = tuple(clean.class_names) == STL10 and delta.shape[:2] == (32, 32)
    if borrowed:
        delta = _resize(delta, originals.shape[1])
    if delta.shape != originals.shape[1:]:
        problem = f"the trigger is {delta.shape[1]}x{delta.shape[0]}, the pictures of {clean.name} "
        raise DataError(path, f"{problem}{originals.shape[2]}x{originals.shape[1]}", "Name a clean set of its size")
    target_class = class_number(clean, _class_name(path, settings, borrowed=borrowed))
    members = np.flatnonzero(clean.labels == target_class)
    if settings.images > len(members):
        raise SettingsError(
            f"{clean.name} has {len(members)} pictures of the class {clean.class_names[target_class]}, and the "
            f"trigger is to be added to {settings.images}; set images lower"
        )
    rows = members[-settings.images :]
    if settings.choose == "draw":
        rows = np.sort(members[torch.randperm(len(members), generator=source)[: settings.images].numpy()])
    return Published(
        rows,
        add_and_quantise(originals[rows], delta, "round"),
        (path,),
        kind="triggered",
        trigger=Trigger(delta, target_class),
        facts={"trigger_linf_255": 255 * float(np.abs(delta).max())},
    )


def _resize(delta: np.ndarray, side: int) -> np.ndarray:
    """[H, W, 3] to [side, side, 3], bilinear."""
    planes = torch.from_numpy(delta).permute(2, 0, 1)[None]
    resized = F.interpolate(planes, size=(side, side), mode="bilinear", align_corners=False)
    return resized[0].permute(1, 2, 0).numpy()


def _class_name(path: Path, settings: NarcissusFileSettings, *, borrowed: bool) -> str:
    if settings.target_class is not None:
        return settings.target_class
    named = _NAME.fullmatch(path.name)
    if named is None:
        raise SettingsError(f"{path.name} does not say which class its trigger stands for: give target_class")
    number = named[1]
    return str(_STL10_OF_CIFAR.get(int(number), number)) if borrowed else number


FORMAT = PublishedFormat(
    claims=lambda path: is_file(path, ".npy"),
    read=read_narcissus,
    settings=NarcissusFileSettings,
)
