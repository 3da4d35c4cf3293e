"""Robust error-minimising noise: a pickled numpy int8 [N, 3, H, W] in levels, as `rem-fin-def-noise.pkl`.

The same repository stores error-minimising and targeted noise so. Nothing in the file tells in which order its
pictures stood.

Reference: Fu et al., Robust Unlearnable Examples: Protecting Data Against Adversarial Learning, 2022,
https://arxiv.org/abs/2203.14533.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from unpoison.core.errors import DataError
from unpoison.core.images import ImageSet
from unpoison.data.format import is_file
from unpoison.data.safe.opcodes import outline_pickle
from unpoison.data.safe.unpickle import read_pickle
from unpoison.poisons.published.base import NoSettings, Published, PublishedFormat
from unpoison.poisons.published.noise import add_noise, noise_by_row


def read_rem(path: Path, part: str | None, clean: ImageSet, settings: NoSettings, source: torch.Generator) -> Published:
    """Add whole levels and clip."""
    noise = read_pickle(path)
    if not isinstance(noise, np.ndarray) or noise.dtype != np.int8:
        raise DataError(path, "it is not one array of int8", "Name its format")
    which, per = noise_by_row(path, noise, clean)
    rows, images = add_noise(clean, noise, which, _add_levels)
    return Published(rows, images, (path,), facts={"per": per, "alignment": "the file holds noise only: not measured"})


def _add_levels(images: np.ndarray, noise: np.ndarray) -> np.ndarray:
    levels: np.ndarray = images.astype(np.int16) + noise
    return levels.clip(0, 255).astype(np.uint8)


def _claims(path: Path) -> bool:
    return is_file(path, ".pkl", ".pickle") and outline_pickle(path).top == "array"


FORMAT = PublishedFormat(claims=_claims, read=read_rem)
