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
from unpoison.core.settings import Settings
from unpoison.data.opcodes import outline_torch
from unpoison.data.torch_files import read_torch
from unpoison.poisons.base import Quantise
from unpoison.poisons.published.base import Published, PublishedFormat
from unpoison.poisons.published.noise import add_noise, noise_by_row


class EmFileSettings(Settings):
    """How the noise is added.

    Args:
        quantise: `truncate` as the original loader, or `round`.
    """

    quantise: Quantise = "truncate"


def read_em(
    path: Path, part: str | None, clean: ImageSet, settings: EmFileSettings, source: torch.Generator
) -> Published:
    """Add the noise, clip and quantise."""
    noise = read_torch(path)
    if not isinstance(noise, np.ndarray) or noise.dtype.kind != "f":
        raise DataError(path, "it is not one tensor of floats", "Name its format")
    which, per = noise_by_row(path, noise, clean)
    for row, one in enumerate(noise):
        if not (np.abs(one) <= 1).all():
            raise DataError(
                path, "the noise has a value that is not a number from -1 to 1", "Fetch it again", record=row
            )
    rows, images = add_noise(clean, noise, which, partial(_add, quantise=settings.quantise))
    return Published(rows, images, (path,), facts={"per": per, "alignment": "the file holds noise only: not measured"})


def _add(images: np.ndarray, delta: np.ndarray, quantise: Quantise) -> np.ndarray:
    """As the original loader, to the last bit: the sum in float32, clipped, then made whole."""
    levels = np.clip(images + 255 * delta, 0, 255)
    return (np.rint(levels) if quantise == "round" else np.floor(levels)).astype(np.uint8)


def _claims(path: Path) -> bool:
    if path.suffix not in (".pt", ".pth") or not path.is_file():
        return False
    outline = outline_torch(path)
    return outline.top == "array" and outline.storages == 1


FORMAT = PublishedFormat(claims=_claims, read=read_em, settings=EmFileSettings)
