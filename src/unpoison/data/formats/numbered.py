"""Flat folders of numbered pictures, `0.png`, `1.png`, ...: how most published poisons come, without labels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from unpoison.core.errors import DataError, SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.notes import Note
from unpoison.data.format import Format, refuse_split
from unpoison.data.pictures.codec import SUFFIXES
from unpoison.data.pictures.files import OWN_FILES, PictureFiles, list_others
from unpoison.data.writer import Writer


class NumberedPictures(PictureFiles):
    """Pictures in the order of their numbers; the ids are the names as they stand, `7` or `00007`."""

    format = "numbered"

    @property
    def numbers(self) -> list[int]:
        """Per picture its number: the row of the set that the poison was made from."""
        return [int(image_id) for image_id in self.ids]

    def labelled(self, labels: np.ndarray, class_names: Sequence[str]) -> NumberedPictures:
        """The same pictures with labels, [N] class indices."""
        labelled = NumberedPictures(self.root, self.files, labels, class_names)
        labelled.inherit(self)
        return labelled


@runtime_checkable
class Unlabelled(Protocol):
    """A set whose pictures know which row of another set has their label."""

    name: str

    @property
    def numbers(self) -> list[int]:
        """Per picture that row, ascending."""
        ...

    def labelled(self, labels: np.ndarray, class_names: Sequence[str]) -> ImageSet:
        """The same pictures with labels, [N] class indices."""
        ...


def read_numbered(path: Path, split: str | None) -> NumberedPictures:
    """Read a flat numbered folder; the labels are -1.

    Raises:
        DataError: a picture's name is no number, or two have the same.
    """
    refuse_split(path, split)
    files = _list_pictures(path)
    if not files:
        raise DataError(path, "it holds no pictures", "Name a folder with 0.png, 1.png, ...")
    for file in files:
        if not _is_number(file.stem):
            raise DataError(file, "the picture's name is not a number", "Rename it, or sort the pictures by class")
    files.sort(key=lambda file: int(file.stem))
    for first, second in itertools.pairwise(files):
        if int(first.stem) == int(second.stem):
            raise DataError(second, f"it has the same number as {first.name}", "Remove one of them")
    names = [file.name for file in files]
    others = set(list_others(path)) - set(names)
    return NumberedPictures(path, names, np.full(len(files), -1), (), others=sorted(others))


def label_by_number(image_set: ImageSet, labels_from: ImageSet) -> ImageSet:
    """Give a numbered set the labels of another: picture 17 gets the label of row 17.

    Raises:
        SettingsError: the set brings its own labels.
        DataError: a number is beyond the other set.
    """
    if not isinstance(image_set, Unlabelled):
        raise SettingsError(f"{image_set.name} is not a flat numbered folder or the like; it keeps its own labels")
    numbers = image_set.numbers
    if numbers[-1] >= len(labels_from):
        raise DataError(
            image_set.root / image_set.files[-1] if isinstance(image_set, NumberedPictures) else image_set.name,
            f"{labels_from.name} has only {len(labels_from)} labels",
            "Take the labels from the set that the pictures were made from",
        )
    return image_set.labelled(labels_from.labels[numbers], labels_from.class_names)


class NumberedWriter(Writer):
    """Writes `<number>.png`: the id where all ids are numbers, else the row. Labels are not stored."""

    stores_png = True

    def _begin(self) -> None:
        ids = self.source.ids
        keep = all(map(_is_number, ids)) and len({int(image_id) for image_id in ids}) == len(ids)
        self._stems = ids if keep else [str(row) for row in range(len(ids))]
        self.temporary.mkdir()

    def _finish(self) -> None:
        labelled = int((self.source.labels >= 0).sum())
        if labelled:
            what = "labels that numbered pictures cannot hold, left out; --labels-from takes them from another set"
            self.notes += (Note(what, labelled),)
        if self._stems != self.source.ids:
            self.notes += (Note("pictures whose names are no numbers, renamed to their row", len(self._stems)),)

    def _store(self, row: int, picture: bytes) -> None:
        (self.temporary / f"{self._stems[row]}.png").write_bytes(picture)


def _list_pictures(path: Path) -> list[Path]:
    if not path.is_dir():
        raise DataError(path, "there is no such folder", "Name a folder with 0.png, 1.png, ...")
    return [
        entry
        for entry in path.iterdir()
        if entry.suffix.lower() in SUFFIXES
        and entry.name not in OWN_FILES
        and not entry.name.startswith(".")
        and not entry.is_dir()
    ]


def _is_number(stem: str) -> bool:
    return stem.isascii() and stem.isdigit() and len(stem) < 19


def _claims(path: Path) -> bool:
    if not path.is_dir() or any(entry.is_dir() and not entry.name.startswith(".") for entry in path.iterdir()):
        return False
    files = _list_pictures(path)
    return bool(files) and all(_is_number(file.stem) for file in files)


FORMAT = Format(claims=_claims, read=read_numbered, writer=NumberedWriter)
