"""Bullseye Polytope's own files. The bases are found by looking: the file names them by rows of a split of its own.

Every poison is put in the place of the picture of its class that it most resembles. The target is not in the file;
where its row in the clean set is known, it can be given.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from pydantic import Field

from unpoison.core.errors import DataError
from unpoison.core.images import ImageSet
from unpoison.core.settings import Bound, Settings
from unpoison.data.published.bullseye_pth import FORMAT as DATA_FORMAT
from unpoison.data.published.bullseye_pth import read_bullseye
from unpoison.poisons.published.alignment import nearest_rows, verify_alignment
from unpoison.poisons.published.base import Published, PublishedFormat, one_label, target_at
from unpoison.poisons.published.benchmark_dir import check_bound


class BullseyeFileSettings(Settings):
    """What the file does not say.

    Args:
        bound: largest change of a value; the attack's is 25.5/255, and rounding adds half a level. Against a JPEG copy
            of the clean set the copy's own error counts too.
        target_row: row of the picture to be misread in the clean set; without it there is no target to score.
    """

    bound: Bound = "26/255"
    target_row: int | None = Field(default=None, ge=0)


def read_bullseye_file(
    path: Path, part: str | None, clean: ImageSet, settings: BullseyeFileSettings, source: torch.Generator
) -> Published:
    """Put the poisons in the places of the pictures that they were made from."""
    found = read_bullseye(path, None)
    images, labels, originals = found.array(), found.labels, clean.array()
    intended = one_label(path, labels)
    members = np.flatnonzero(clean.labels == intended)
    if images.shape[1:] != originals.shape[1:] or len(members) < 2:
        raise DataError(
            path, f"{clean.name} has no pictures of that size with label {intended}", "Name the clean set of the poison"
        )
    rows = find_bases(path, images, originals, members)
    alignment = verify_alignment(clean, images, labels, file=path, rows=rows)
    check_bound(path, originals[rows], images, settings.bound)
    return Published(
        rows,
        images,
        (path,),
        kind="triggerless",
        target=target_at(clean, settings.target_row, intended),
        facts={"alignment": alignment.describe(), "quantise": "round", "intended_class": intended, "bases": "by look"},
    )


def find_bases(path: Path, images: np.ndarray, originals: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Rows of the clean pictures that poisons were made from.

    Args:
        path: file name for errors.
        images: [M, H, W, 3] uint8 poisons.
        originals: [N, H, W, 3] uint8 clean pictures.
        members: rows that come into question.

    Raises:
        DataError: a poison resembles none clearly more than the others, or two the same.
    """
    rows, clear = nearest_rows(originals, images, members)
    if not clear.all():
        raise DataError(
            path,
            "no clean picture is clearly the one that this poison was made from",
            "Name the clean set of the poison; the file alone does not say which rows it stands for",
            record=int(clear.argmin()),
        )
    if len(set(rows.tolist())) < len(rows):
        raise DataError(path, "two poisons were made from one picture", "Name the clean set of the poison")
    return rows


FORMAT = PublishedFormat(claims=DATA_FORMAT.claims, read=read_bullseye_file, settings=BullseyeFileSettings)
