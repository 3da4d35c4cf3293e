"""The interface of a published format, and what one says of a clean set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unpoison.core.errors import DataError, SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.settings import Settings
from unpoison.poisons.protocol import Kind, Target, Trigger


@dataclass(frozen=True)
class Published:
    """A published poison, laid over a clean set.

    Args:
        rows: [M] rows of the clean set that it poisons, each once.
        images: [M, H, W, 3] uint8, the pictures that stand there instead.
        files: the files it was read from.
        kind: what the attack is after.
        trigger: of a triggered attack.
        target: of an attack on one picture.
        facts: for the manifest: how well it fits the clean set, how it became 8 bits, ...
    """

    rows: np.ndarray
    images: np.ndarray
    files: tuple[Path, ...]
    kind: Kind = "availability"
    trigger: Trigger | None = None
    target: Target | None = None
    facts: dict[str, Any] = field(default_factory=dict)


class NoSettings(Settings):
    """Of formats that leave nothing to choose."""


@dataclass(frozen=True)
class PublishedFormat:
    """One format.

    Args:
        claims: whether a path looks like this format; reads little.
        read: lays the poison at a path over the clean set; the second argument is the part asked for, or None.
        settings: what can be chosen.
    """

    claims: Callable[[Path], bool]
    read: Callable[[Path, str | None, ImageSet, Any, torch.Generator], Published]
    settings: type[Settings] = NoSettings


def check_bases(file: Path, rows: np.ndarray, clean: ImageSet) -> None:
    """Refuse rows, [n] whole numbers, that the clean set does not have.

    Raises:
        DataError: as said.
    """
    beyond = np.flatnonzero(rows >= len(clean))
    if len(beyond):
        raise DataError(
            file,
            f"it stands for row {rows[beyond[0]]}, but {clean.name} has {len(clean)} pictures",
            "Name the clean set that the poison was made from",
            record=int(beyond[0]),
        )


def first_of_each(rows: np.ndarray) -> np.ndarray:
    """Positions of the first mention of every one of [n] rows, ascending.

    The benchmark's own setups 78 and 84 name a base picture twice, so that is no sign of a broken file there.
    """
    return np.sort(np.unique(rows, return_index=True)[1])


def target_at(clean: ImageSet, row: int | None, intended: int) -> Target | None:
    """The target that a user names, where the file does not hold it.

    Args:
        clean: the clean set.
        row: of the picture to be misread in it; None if none was named.
        intended: class that it is to be taken for.

    Raises:
        SettingsError: there is no such row.
    """
    if row is None:
        return None
    if row >= len(clean):
        raise SettingsError(f"target_row is {row}, but {clean.name} has {len(clean)} pictures")
    return Target(clean.picture(row).rgb, int(clean.labels[row]), intended, row)


def one_label(file: Path, labels: np.ndarray) -> int:
    """The class that all poisons bear, by their [n] labels: what the target is to be taken for.

    Raises:
        DataError: they differ.
    """
    if len(set(labels.tolist())) != 1:
        raise DataError(file, "the poisons bear several labels", "Such attacks poison one class; fetch the file again")
    return int(labels[0])
