"""Error-minimising noise: `perturbation.pt`, float32 [N or K, 3, H, W] in [0, 1] units, with its sign.

The release's own data set class cuts the negative half of the noise away before adding it, which its author has
called a mistake; here the whole noise is added. Nothing in the file tells in which order its pictures stood.

Reference: Huang et al., Unlearnable Examples: Making Personal Data Unexploitable, 2021,
https://arxiv.org/abs/2101.04898.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch

from unpoison.core.errors import DataError
from unpoison.core.images import ImageSet
from unpoison.core.notes import Note, tell
from unpoison.core.settings import Settings
from unpoison.data.format import is_file
from unpoison.data.published.arrays import to_pictures
from unpoison.data.safe.opcodes import outline_torch
from unpoison.data.safe.torch_files import read_torch
from unpoison.poisons.protocol import Quantise
from unpoison.poisons.published.alignment import NEARER, Alignment, compare
from unpoison.poisons.published.base import Published, PublishedFormat
from unpoison.poisons.published.noise import add_noise, noise_by_row

_STRONGEST = 64 / 255  # no published noise comes near; pictures do


class EmFileSettings(Settings):
    """How the noise is added.

    Args:
        quantise: `truncate` as the original loader, or `round`.
    """

    quantise: Quantise = "truncate"


def read_em(
    path: Path, part: str | None, clean: ImageSet, settings: EmFileSettings, source: torch.Generator
) -> Published:
    """Add the noise, clip and quantise. Where the file holds the poisoned pictures instead, take them as they are."""
    noise = read_torch(path)
    if not isinstance(noise, np.ndarray) or noise.dtype.kind != "f":
        raise DataError(path, "it is not one tensor of floats", "Name its format")
    which, per = noise_by_row(path, noise, clean)
    for row, one in enumerate(noise):
        if not (np.abs(one) <= 1).all():
            raise DataError(
                path, "the noise has a value that is not a number from -1 to 1", "Fetch it again", record=row
            )
    if per == "sample" and (alignment := _aligned_pictures(path, noise, clean)):
        images, facts = alignment
        tell(path.name, [Note("poisoned pictures where noise was expected, taken as pictures", len(images))])
        return Published(np.arange(len(clean)), images, (path,), facts={"alignment": facts.describe()})
    typical = float(np.median(np.abs(noise)))
    if typical > _STRONGEST:
        raise DataError(
            path,
            f"its typical value is {255 * typical:.0f}/255, so these are pictures and no noise, and not those of "
            f"{clean.name} in its order",
            "Name the clean set that it was made from",
        )
    rows, images = add_noise(clean, noise, which, partial(_add, quantise=settings.quantise))
    return Published(rows, images, (path,), facts={"per": per, "alignment": "the file holds noise only: not measured"})


def _aligned_pictures(path: Path, values: np.ndarray, clean: ImageSet) -> tuple[np.ndarray, Alignment] | None:
    """The poisoned pictures in a file, [N, H, W, 3] uint8, and how they fit; None where it holds noise."""
    if values.min() < 0:
        return None
    images = to_pictures(path, values, unit=1, quantise="round", channels_first=True)
    alignment = compare(clean.array(), images, np.arange(len(clean)), "not stored")
    return (images, alignment) if alignment.nearer_to_own >= NEARER else None


def _add(images: np.ndarray, delta: np.ndarray, quantise: Quantise) -> np.ndarray:
    """As the original loader, to the last bit: the sum in float32, clipped, then made whole."""
    levels = np.clip(images + 255 * delta, 0, 255)
    whole: np.ndarray = np.rint(levels) if quantise == "round" else np.floor(levels)
    return whole.astype(np.uint8)


def _claims(path: Path) -> bool:
    if not is_file(path, ".pt", ".pth"):
        return False
    outline = outline_torch(path)
    return outline.top == "array" and outline.storages == 1


FORMAT = PublishedFormat(claims=_claims, read=read_em, settings=EmFileSettings)
