"""The pictures of a set that a list names, or the others."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from unpoison.core.errors import DataError
from unpoison.core.images import ImageSet
from unpoison.core.limits import TEXT_BYTES
from unpoison.core.notes import Note, tell
from unpoison.data.safe.plain_files import read_plain

_SHOWN = 3


def only_listed(image_set: ImageSet, path: Path) -> ImageSet:
    """The pictures that a list names, in the order of the set, under their own ids; all classes stay.

    Its notes say how many were left out by which list. Of classes that become empty it warns.

    Args:
        image_set: any set.
        path: text in UTF-8, an id a line. Blank lines and lines that begin with `#` are passed over, unless such a line
            is the id of a picture.

    Raises:
        DataError: the list cannot be read, names pictures that the set has not, or nothing is left.
        UnsafeFileError: it is no plain file, or too large.
    """
    content = _read(path)
    return _part(image_set, path, _listed(image_set, path, content), f"{_called(path, content)} does not name them")


def without_listed(image_set: ImageSet, path: Path) -> ImageSet:
    """The pictures that a list does not name; as `only_listed` in all else."""
    content = _read(path)
    return _part(image_set, path, ~_listed(image_set, path, content), f"{_called(path, content)} names them")


def _part(image_set: ImageSet, path: Path, kept: np.ndarray, why: str) -> ImageSet:
    """The pictures of [N] bool that are to be kept."""
    if not kept.any():
        raise DataError(path, f"by this list nothing is left of {image_set.name}", "Check what it names")
    part = image_set.subset(np.flatnonzero(kept))
    emptied = np.setdiff1d(image_set.labels, [-1, *part.labels])
    notes = [Note.of("classes left without pictures", [image_set.class_names[label] for label in emptied])]
    notes = [note for note in notes if note.count]
    tell(image_set.name, notes)
    part.notes += (Note(f"pictures left out, as {why}", len(kept) - len(part)), *notes)
    return part


def _listed(image_set: ImageSet, path: Path, content: bytes) -> np.ndarray:
    """[N] bool: which pictures are named."""
    try:
        lines = content.decode("utf-8-sig").split("\n")  # splitlines would cut names at rarer ends of lines
    except UnicodeDecodeError:
        raise DataError(path, "the list is not text in UTF-8", "Write it again") from None
    rows = {image_id: row for row, image_id in enumerate(image_set.ids)}
    named = np.zeros(len(rows), bool)
    strange = []
    for number, line in enumerate((line.removesuffix("\r") for line in lines), start=1):
        row = rows.get(line)
        if row is not None:
            named[row] = True
        elif line.strip() and not line.startswith("#"):
            strange.append(f"'{line[:80]}' (line {number})")
    if strange:
        shown = ", ".join(strange[:_SHOWN]) + (", ..." if len(strange) > _SHOWN else "")
        problem = f"{len(strange)} of the ids it lists are not in {image_set.name}: {shown}"
        raise DataError(path, problem, f"Ids there look like '{image_set.ids[0]}'" if len(rows) else "The set is empty")
    return named


def _read(path: Path) -> bytes:
    return read_plain(path, TEXT_BYTES)


def _called(path: Path, content: bytes) -> str:
    return f"{path.name} (sha256 {hashlib.sha256(content).hexdigest()})"
