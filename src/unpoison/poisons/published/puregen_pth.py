"""PureGen's purified poisons of one target, laid over a set that was purified alike (or the clean one)."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import Field

from unpoison.core.errors import DataError, SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.settings import Settings
from unpoison.data.published.benchmark_dir import read_target
from unpoison.data.published.puregen_pth import FORMAT as DATA_FORMAT
from unpoison.data.published.puregen_pth import read_puregen_file
from unpoison.poisons.protocol import Target, Trigger
from unpoison.poisons.published.alignment import verify_alignment
from unpoison.poisons.published.base import (
    Published,
    PublishedFormat,
    check_bases,
    first_of_each,
    one_label,
    target_at,
)
from unpoison.poisons.published.narcissus_npy import halve_trigger


class PuregenFileSettings(Settings):
    """What the file does not say: the picture that a triggerless attack wants misread. Without it, none is scored.

    Args:
        target_from: folder of the poison before it was purified, which holds the target (gradient matching).
        target_row: row of the target in the clean set (Bullseye Polytope).
    """

    target_from: str = ""
    target_row: int | None = Field(default=None, ge=0)


def read_puregen_poisons(
    path: Path, part: str | None, clean: ImageSet, settings: PuregenFileSettings, source: torch.Generator
) -> Published:
    """Put the pictures in the places of their bases.

    Raises:
        SettingsError: a target is named for a triggered poison, or two ways.
    """
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
        target=_target(clean, settings, intended, triggered=found.trigger is not None),
        facts={"alignment": alignment.describe(), "repeated_bases": len(found.base_rows) - len(kept)},
    )


def _target(clean: ImageSet, settings: PuregenFileSettings, intended: int, *, triggered: bool) -> Target | None:
    if settings.target_from and settings.target_row is not None:
        raise SettingsError("target_from and target_row both name a target; omit one")
    if triggered and (settings.target_from or settings.target_row is not None):
        raise SettingsError("this poison has a trigger and no target; omit target_from and target_row")
    if settings.target_from:
        found = read_target(Path(settings.target_from))
        return Target(found.image, found.true_class, intended)
    return target_at(clean, settings.target_row, intended)


FORMAT = PublishedFormat(claims=DATA_FORMAT.claims, read=read_puregen_poisons, settings=PuregenFileSettings)
