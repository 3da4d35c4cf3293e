"""The poisoning benchmark's directories: some pictures of one class, poisoned to have one target misread.

The benchmark takes the base pictures out and appends the poisons. Here they stand in their places, which is the same
set. If the target carries a patch, the attack is triggered.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from unpoison.core.errors import DataError
from unpoison.core.images import ImageSet
from unpoison.core.settings import Bound, Settings, bound_value
from unpoison.data.published.benchmark_dir import BASES, POISONS, TARGET, read_bases, read_poisons, read_target
from unpoison.data.published.benchmark_dir import FORMAT as DATA_FORMAT
from unpoison.poisons.protocol import Target, Trigger
from unpoison.poisons.published.alignment import verify_alignment
from unpoison.poisons.published.base import Published, PublishedFormat, check_bases, first_of_each, one_label


class BenchmarkDirSettings(Settings):
    """What is allowed.

    Args:
        bound: largest change of a value; the benchmark allows 9/255 for attacks of 8/255, as rounding adds a level.
            Against a JPEG copy of the clean set the copy's own error counts too.
    """

    bound: Bound = "9/255"


def read_benchmark_dir(
    path: Path, part: str | None, clean: ImageSet, settings: BenchmarkDirSettings, source: torch.Generator
) -> Published:
    """Put the poisons in the places of their bases."""
    images, labels = read_poisons(path)
    bases = read_bases(path, len(images))
    found = read_target(path)
    check_bases(path / BASES, bases, clean)
    alignment = verify_alignment(clean, images, labels, file=path / POISONS, rows=bases)
    check_bound(path / POISONS, clean.array()[bases], images, settings.bound)
    intended = one_label(path / POISONS, labels)
    target = Target(found.image, found.true_class, intended)
    trigger = None if found.patch is None else Trigger(found.patch, intended, "patch", found.top, found.left)
    kept = first_of_each(bases)
    return Published(
        bases[kept],
        images[kept],
        (path / POISONS, path / BASES, path / TARGET),
        kind="triggerless" if trigger is None else "triggered",
        trigger=trigger,
        target=target,
        facts={"alignment": alignment.describe(), "repeated_bases": len(bases) - len(kept)},
    )


def check_bound(file: Path, originals: np.ndarray, images: np.ndarray, bound: str) -> None:
    """Refuse a poison, [n, H, W, 3] uint8 as its originals, that changes a value by more than is allowed.

    Raises:
        DataError: as said.
    """
    change = np.abs(images.astype(np.int16) - originals).max(axis=(1, 2, 3))
    if change.max() > 255 * bound_value(bound) + 1e-6:
        raise DataError(
            file,
            f"it changes a value by {change.max()}/255, and {bound} is allowed",
            "If the clean set is a JPEG copy, its own error counts: name the lossless set, or allow more with bound=1",
            record=int(change.argmax()),
        )


FORMAT = PublishedFormat(claims=DATA_FORMAT.claims, read=read_benchmark_dir, settings=BenchmarkDirSettings)
