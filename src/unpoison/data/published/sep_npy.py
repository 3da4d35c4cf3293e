"""Self-ensemble protection: a folder of `.npy` parts, float32 [n, 3, 32, 32] in [0, 1], without labels.

A part is named after the rows it holds, `eps2.0-1.0_iter30_sp05000-10000_ts0.npy`.

Reference: Chen et al., Self-Ensemble Protection: Training Checkpoints Are Good Data Protectors, 2023,
https://arxiv.org/abs/2211.12005.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unpoison.core.errors import DataError
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.data.format import Format, refuse_split
from unpoison.data.published.arrays import to_pictures
from unpoison.data.safe.npy import read_npy

_PART = re.compile(r"eps.*_sp(?P<start>\d{1,9})-\d{1,9}.*\.npy")


class RowPictures(ArrayImageSet):
    """Pictures that stand for the rows of the set that they were made from; without labels, they are -1."""

    @property
    def numbers(self) -> list[int]:
        """Per picture the row of that set."""
        return list(range(len(self)))

    def labelled(self, labels: np.ndarray, class_names: Sequence[str]) -> RowPictures:
        """The same pictures with labels, [N] class indices."""
        labelled = RowPictures(self.images, labels, class_names=class_names, ids=self.ids, name=self.name)
        labelled.inherit(self)
        return labelled


def read_sep(path: Path, split: str | None) -> ImageSet:
    """Read all parts as one set; its loader truncates to 8 bits. The labels are -1: they are those of the clean set.

    Raises:
        DataError: a part is missing, or two hold the same rows.
    """
    refuse_split(path, split)
    parts: list[np.ndarray] = []
    row = 0
    for start, file in list_parts(path):
        if start != row:
            problem = f"it starts at row {start}, but the parts before it end at {row}"
            raise DataError(file, problem, "Keep the parts of one set in the folder, and all of them")
        part = to_pictures(file, read_npy(file), unit=1, quantise="truncate", channels_first=True)
        if parts and part.shape[1:] != parts[0].shape[1:]:
            raise DataError(file, "its pictures have another size than those before", "Fetch the set again")
        parts.append(part)
        row += len(part)
    if not parts:
        raise DataError(path, "it holds no parts like eps2.0-1.0_iter30_sp00000-05000_ts0.npy", "Name their folder")
    image_set = RowPictures(np.concatenate(parts), np.full(row, -1), class_names=(), name=path.resolve().name)
    image_set.format = "sep-npy"
    return image_set


def list_parts(path: Path) -> list[tuple[int, Path]]:
    """First row and file of each part, in order."""
    if not path.is_dir():
        return []
    found = ((_PART.fullmatch(file.name), file) for file in path.iterdir())
    return sorted((int(match["start"]), file) for match, file in found if match)


FORMAT = Format(claims=lambda path: bool(list_parts(path)), read=read_sep)
