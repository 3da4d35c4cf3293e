"""Reading an image set, whatever it is stored in."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from unpoison.core.errors import DataError, SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.methods import load_method
from unpoison.core.notes import Note, tell
from unpoison.data.format import Format
from unpoison.data.methods import METHODS
from unpoison.data.objects import read_object
from unpoison.data.pictures.codec import SUFFIXES
from unpoison.data.sources import parse_source

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/")  # a Path makes one slash of two
_PACKED = (".rar", ".7z", ".gz", ".bz2", ".xz", ".zst", ".tbz2", ".txz")


def read(
    source: Any,
    *,
    format: str | None = None,
    labels_from: ImageSet | None = None,
) -> ImageSet:
    """Read an image set. Pictures are decoded when they are asked for; nothing in the files is executed.

    What is left out or read in another way than the files say is warned of, and stands in the set's `notes`.

    Args:
        source: path of a file or folder, a glob of shards, `digits`, `cifar10` or `hf://owner/name`. `#test` or
            `#train` after it chooses a part (train if left out), `[start:stop]` rows, as in `cifar#test[:2000]`.
            Or, from Python, a `datasets.Dataset`, or a torch Dataset (anything with a length and rows) of
            (picture, label), where a picture is a Pillow image, a uint8 array or a tensor.
        format: name of the format; detected if left out.
        labels_from: set whose labels a flat numbered folder takes: picture 17 gets the label of row 17.

    Returns:
        The set; its `name` is the last part of the path and its `format` the format it was read from.

    Raises:
        DataError: a file is bad, or there is none.
        UnsafeFileError: a file asks for what reading must not do.
        SettingsError: the format or the split does not exist, or the object is no image set.
    """
    if not isinstance(source, (str, PathLike)):
        if format is not None or labels_from is not None:
            raise SettingsError("format= and labels_from= are for files; an object has a form and labels of its own")
        found = read_object(source)
        if found is not source:
            tell(found.name, found.notes)
        return found
    try:
        asked = parse_source(source)
        reader: Format = load_method(METHODS, format or detect_format(asked.path), kind="format")
        image_set = reader.read(asked.path, asked.split)
    except OSError as error:
        where = error.filename or str(source)
        raise DataError(where, f"it cannot be read ({error.strerror})", "Check it and its permissions") from None
    if labels_from is not None:
        from unpoison.data.formats.numbered import label_by_number

        image_set = label_by_number(image_set, labels_from)
    if asked.path.is_dir():
        image_set.folder = asked.path
    if asked.rows != slice(None):
        image_set = _take_rows(image_set, asked.rows)
    tell(image_set.name, image_set.notes)
    return image_set


def _take_rows(image_set: ImageSet, rows: slice) -> ImageSet:
    """Some rows of a set. Where the rows go class by class, whole classes may be missing, which is noted."""
    part = image_set.subset(np.arange(len(image_set))[rows])
    present = np.unique(image_set.labels[image_set.labels >= 0])
    lost = np.setdiff1d(present, part.labels)
    if len(lost) and (np.diff(image_set.labels) >= 0).all():
        what = "classes without pictures in this part, as the rows go class by class; `convert --per-class` takes some "
        part.notes += (Note.of(f"{what}of each", [image_set.class_names[label] for label in lost]),)
    return part


def detect_format(path: Path) -> str:
    """Name of the format that a path looks like.

    Raises:
        DataError: there is no such file, or it is of no known format.
    """
    try:
        if path.is_dir():
            next(path.iterdir(), None)  # a folder that may not be listed is of no format
        for name in METHODS:
            if load_method(METHODS, name, kind="format").claims(path):
                return name
    except OSError as error:
        raise DataError(path, f"it cannot be read ({error.strerror})", "Check it and its permissions") from None
    raise _unknown(path)


def _unknown(path: Path) -> DataError:
    """What a path is that no format claims, and what to do."""
    text = str(path)
    if _ADDRESS.match(text):
        address = re.sub(":/+", "://", text, count=1)
        return DataError(
            address,
            "this is an address, and nothing is fetched from one",
            "Download it and name the file, or name a set of the Hub as hf://owner/name",
        )
    if not path.exists():
        return DataError(path, "there is no such file or folder", "Check the spelling")
    if path.suffix.lower() in SUFFIXES:
        return DataError(
            path,
            "this is one picture, and a set is wanted",
            "Put it into a folder of its class, and name the folder above",
        )
    if path.suffix.lower() in _PACKED:
        return DataError(path, "of packed files only .zip and .tar.gz are read", "Unpack it, and name its folder")
    return DataError(path, "this is of no known format", f"Name one with --format: {', '.join(METHODS)}")
