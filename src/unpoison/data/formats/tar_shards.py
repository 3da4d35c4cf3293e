"""Tar shards in the layout of WebDataset: `key.jpg` beside `key.cls` or `key.json`, in one archive or in several."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unpoison.core.errors import DataError, UnsafeFileError
from unpoison.core.files import file_stamp
from unpoison.core.hashing import hash_json
from unpoison.core.images import ImageSet
from unpoison.core.limits import LABEL_BYTES, PICTURE_BYTES
from unpoison.core.notes import Note
from unpoison.core.picture import Picture
from unpoison.data.format import Format
from unpoison.data.formats.folder import CLASS_FILE
from unpoison.data.formats.shards import find_files, list_shards
from unpoison.data.labels import LABEL_NAMES, read_labels
from unpoison.data.pictures.codec import SUFFIXES, decode, measure
from unpoison.data.safe.plain_files import read_lines
from unpoison.data.safe.tar_members import Member, list_members, read_bytes
from unpoison.data.stored_names import choose_ids

_KEY = re.compile(r"((?:.*/)?[^./]+)\.([^/]*)")  # WebDataset's own: up to the first dot of the file's name
_LABELS = frozenset({"cls", "class", "json"})
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")  # also 007: as int() reads it, and webdataset with it
_NAME_LENGTH = 255
_HEAD_BYTES = 2**16  # holds the header of nearly every picture
_SPLITS = ("train", "test", "val", "validation")
_LABEL_REMEDY = "Store a whole number or a name as key.cls, or as 'label' in key.json"


@dataclass
class _Sample:
    """What a shard holds under one key."""

    picture: Member | None = None
    label: Any = None
    others: list[Member] = field(default_factory=list)


class TarImageSet(ImageSet):
    """Pictures inside tar files, read at their place and decoded on demand.

    Args:
        name: short name for records.
        paths: the tar files.
        places: [N, 3] int64: the picture's file, and its offset and size in it.
        ids: one per picture.
        labels: [N] class indices; -1 where unknown.
        class_names: name of each class.
    """

    format = "tar"

    def __init__(
        self,
        name: str,
        paths: list[Path],
        places: np.ndarray,
        ids: list[str],
        labels: np.ndarray,
        class_names: Sequence[str],
    ):
        self._paths, self._places = paths, places
        sizes = np.array([self._measure(row) for row in range(len(places))], np.int32)
        super().__init__(name, ids, labels, class_names, sizes)

    def picture(self, index: int) -> Picture:
        shard, offset, size = self._places[index].tolist()
        path = self._paths[shard]
        return decode(read_bytes(path, offset, size), path, record=self.ids[index])

    def stamp(self, rows: range) -> str:
        shards = sorted(set(self._places[rows.start : rows.stop, 0].tolist()))
        return hash_json([file_stamp(self._paths[shard]) for shard in shards])

    def _measure(self, row: int) -> tuple[int, int]:
        shard, offset, size = self._places[row].tolist()
        path = self._paths[shard]
        for wanted in (min(size, _HEAD_BYTES), size):
            try:
                return measure(read_bytes(path, offset, wanted), path)
            except DataError:
                continue
        return 0, 0  # `picture` will say why


def read_tar_shards(path: Path, split: str | None) -> ImageSet:
    """Read a shard, a folder of shards, or a pattern such as `shards/{000..003}.tar`.

    The id is the key where all shards together hold each key once, else the row. Names of the classes are taken from
    `class_names.txt` beside the shards, one a line; without it they are numbers. Under a key without `key.jpg` or the
    like, the one member that is a picture counts, such as `key.input.jpg` or `key.img`. Other members are left alone.

    Raises:
        DataError: an archive is broken, or two members claim the same place.
        UnsafeFileError: a member leaves its archive, is no plain file, or is far too large.
    """
    paths, unread = list_shards(path, split, ".tar")
    keys: list[str] = []
    places: list[tuple[int, int, int]] = []
    values: list[Any] = []
    others: list[str] = []
    for number, shard in enumerate(paths):
        for key, sample in _samples(shard).items():
            picture = sample.picture or _find_picture(shard, key, sample)
            others += [member.name for member in sample.others if member is not picture]
            if picture is None:
                continue
            if picture.size > PICTURE_BYTES:
                raise UnsafeFileError(shard, f"a picture of {picture.size} bytes", "Remove it", record=picture.name)
            keys.append(key)
            places.append((number, picture.offset, picture.size))
            values.append(sample.label)
    ids, renamed = choose_ids(keys)
    labels = read_labels(path, values, class_names=_class_names(paths), name_row=keys.__getitem__)
    rows = np.array(places, np.int64).reshape(-1, 3)
    image_set = TarImageSet(path.name, paths, rows, ids, labels.numbers, labels.class_names)
    left = (Note.of("members that are neither pictures nor labels, left alone", others),) if others else ()
    image_set.notes = unread + renamed + labels.notes + left
    return image_set


def _samples(shard: Path) -> dict[str, _Sample]:
    samples: dict[str, _Sample] = {}
    for member in list_members(shard):
        match = _KEY.fullmatch(member.name)
        key, extension = (match[1], match[2].lower()) if match else (member.name, "")
        sample = samples.setdefault(key, _Sample())
        if f".{extension}" in SUFFIXES:
            if sample.picture is not None:
                raise DataError(shard, "two pictures share the key", "Rename one", record=key)
            sample.picture = member
        elif extension in _LABELS:
            label = _read_label(shard, member, extension)
            if None not in (label, sample.label) and sample.label != label:
                raise DataError(shard, f"labels {sample.label} and {label} share the key", "Remove one", record=key)
            if label is None:
                sample.others.append(member)
            else:
                sample.label = label
        else:
            sample.others.append(member)
    return samples


def _find_picture(shard: Path, key: str, sample: _Sample) -> Member | None:
    """The picture of a key under which none has a name of its own; None if there is nothing to be sure of."""
    pictures = [member for member in sample.others if _is_picture(shard, member)]
    if len(pictures) > 1 or (not pictures and sample.label is not None):
        names = ", ".join(member.name for member in pictures[:3] or sample.others[:3]) or "nothing else"
        problem = f"there is a label but no picture; beside it: {names}"
        if pictures:
            problem = f"it is not known which of several pictures is meant: {names}"
        raise DataError(shard, problem, "Name one KEY.jpg or KEY.png, without a further dot", record=key)
    return pictures[0] if pictures else None


def _is_picture(shard: Path, member: Member) -> bool:
    try:
        measure(read_bytes(shard, member.offset, min(member.size, _HEAD_BYTES)), shard)
    except DataError:
        return os.path.splitext(member.name)[1].lower() in SUFFIXES  # broken, as decoding will say
    return True


def _read_label(shard: Path, member: Member, extension: str) -> Any:
    """The label in a member: a number, a text or whatever it holds; None for JSON without one."""
    if member.size > LABEL_BYTES:
        raise UnsafeFileError(shard, f"a label of {member.size} bytes", _LABEL_REMEDY, record=member.name)
    try:
        text = read_bytes(shard, member.offset, member.size).decode().strip()
        if extension == "json":
            found = json.loads(text)
            return (
                next((found[name] for name in LABEL_NAMES if name in found), None) if isinstance(found, dict) else None
            )
        if _WHOLE.fullmatch(text):
            return int(text)
        if len(text) <= _NAME_LENGTH and text.isprintable() and text:
            return text
        raise ValueError("neither a number nor a name")
    except (ValueError, RecursionError):
        raise DataError(shard, "the label cannot be read", _LABEL_REMEDY, record=member.name) from None


def _class_names(paths: list[Path]) -> list[str] | None:
    """Names in a file beside the shards, or one folder up, where the splits have folders of their own."""
    for folder in (paths[0].parent, paths[0].parent.parent):
        file = folder / CLASS_FILE
        if file.is_file():
            return read_lines(file)
    return None


def _claims(path: Path) -> bool:
    # Looking into every folder would walk through all pictures of a set that is stored as files.
    folders = (path, *(path / split for split in _SPLITS))
    return any(find_files(folder, ".tar") for folder in folders) if path.is_dir() else path.suffix.lower() == ".tar"


FORMAT = Format(claims=_claims, read=read_tar_shards)
