"""PureGen's purified poisons of one target, laid over a set that was purified alike (or the clean one)."""

from __future__ import annotations

from pathlib import Path

import torch

from unpoison.core.errors import DataError
from unpoison.core.images import ImageSet
from unpoison.data.puregen_pth import FORMAT as DATA_FORMAT
from unpoison.data.puregen_pth import read_puregen_file
from unpoison.poisons.base import Trigger
from unpoison.poisons.published.alignment import verify_alignment
from unpoison.poisons.published.base import (
    NoSettings,
    Published,
    PublishedFormat,
    check_bases,
    first_of_each,
    one_label,
)
from unpoison.poisons.published.narcissus_npy import halve_trigger


def read_puregen_poisons(
    path: Path, part: str | None, clean: ImageSet, settings: NoSettings, source: torch.Generator
) -> Published:
    """Put the pictures in the places of their bases. The target's picture is not in the file."""
    found = read_puregen_file(path)
    if found.base_rows is None:
        raise DataError(path, "it is a whole set without base rows", "Read it as a set by itself")
    check_bases(path, found.base_rows, clean)
    alignment = verify_alignment(clean, found.images, found.labels, file=path, rows=found.base_rows)
    intended = one_label(path, found.labels)
    kept = first_of_each(found.base_rows)
    return Published(
        found.base_rows[kept],
        found.images[kept],
        (path,),
        kind="triggerless" if found.trigger is None else "triggered",
        trigger=None if found.trigger is None else Trigger(halve_trigger(path, found.trigger), intended),
        facts={"alignment": alignment.describe(), "repeated_bases": len(found.base_rows) - len(kept)},
    )


FORMAT = PublishedFormat(claims=DATA_FORMAT.claims, read=read_puregen_poisons)
