"""Tar shards in the layout of WebDataset: `key.jpg` beside `key.cls` or `key.json`, in one archive or in several."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unpoison.core.errors import DataError, UnsafeFileError
from unpoison.core.files import file_stamp
from unpoison.core.hashing import hash_json
from unpoison.core.images import ImageSet, Picture, row_ids
from unpoison.data.class_numbers import name_classes
from unpoison.data.folder import CLASS_FILE
from unpoison.data.formats import Format
from unpoison.data.pictures import SUFFIXES, decode, measure
from unpoison.data.shards import list_shards
from unpoison.data.tar_members import Member, list_members, read_bytes
from unpoison.data.writer import is_path

_KEY = re.compile(r"((?:.*/)?[^./]+)\.([^/]*)")  # WebDataset's own: up to the first dot of the file's name
_LABEL_BYTES = 2**20
_PICTURE_BYTES = 2**29
_HEAD_BYTES = 2**16  # holds the header of nearly every picture
_SPLITS = ("train", "test", "val", "validation")
_LABEL_REMEDY = "Store a whole number as key.cls, or as 'label' in key.json"


@dataclass
class _Sample:
    """What a shard holds under one key."""

    picture: Member | None = None
    label: int | None = None


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
        labels: list[int],
        class_names: list[str],
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
    `class_names.txt` beside the shards, one a line; without it they are numbers. Members that are neither pictures
    nor labels are left alone.

    Raises:
        DataError: an archive is broken, a label is none, or two members claim the same place.
        UnsafeFileError: a member leaves its archive, is no plain file, or is far too large.
    """
    paths = list_shards(path, split, ".tar")
    keys: list[str] = []
    places: list[tuple[int, int, int]] = []
    labels: list[int] = []
    for number, shard in enumerate(paths):
        for key, sample in _samples(shard).items():
            if sample.picture is None:
                raise DataError(shard, "there is a label but no picture", "Remove it, or add the picture", record=key)
            keys.append(key)
            places.append((number, sample.picture.offset, sample.picture.size))
            labels.append(-1 if sample.label is None else sample.label)
    ids = keys if len(set(keys)) == len(keys) and all(map(is_path, keys)) else row_ids(len(keys))
    class_names = _class_names(paths) or name_classes(path, np.array(labels, np.int64))
    return TarImageSet(path.name, paths, np.array(places, np.int64).reshape(-1, 3), ids, labels, class_names)


def _samples(shard: Path) -> dict[str, _Sample]:
    samples: dict[str, _Sample] = {}
    for member in list_members(shard):
        match = _KEY.fullmatch(member.name)
        if match is None:
            continue
        key, extension = match[1], match[2].lower()
        if f".{extension}" in SUFFIXES:
            sample = samples.setdefault(key, _Sample())
            if sample.picture is not None:
                raise DataError(shard, "two pictures share the key", "Rename one", record=key)
            if member.size > _PICTURE_BYTES:
                raise UnsafeFileError(shard, f"a picture of {member.size} bytes", "Remove it", record=member.name)
            sample.picture = member
        elif extension in ("cls", "json"):
            label = _read_label(shard, member, extension)
            if label is None:
                continue
            sample = samples.setdefault(key, _Sample())
            if sample.label not in (None, label):
                raise DataError(shard, f"labels {sample.label} and {label} share the key", "Remove one", record=key)
            sample.label = label
    return samples


def _read_label(shard: Path, member: Member, extension: str) -> int | None:
    """The label in a member; None for JSON without one."""
    if member.size > _LABEL_BYTES:
        raise UnsafeFileError(shard, f"a label of {member.size} bytes", _LABEL_REMEDY, record=member.name)
    try:
        value = json.loads(read_bytes(shard, member.offset, member.size))
    except (ValueError, RecursionError):
        raise DataError(shard, "the label cannot be read", _LABEL_REMEDY, record=member.name) from None
    if extension == "json":
        if not isinstance(value, dict) or "label" not in value:
            return None
        value = value["label"]
    if not isinstance(value, int) or isinstance(value, bool) or not -1 <= value < 2**62:
        shown = repr(value)[:40]
        raise DataError(shard, f"the label is {shown}, not a number of a class", _LABEL_REMEDY, record=member.name)
    return value


def _class_names(paths: list[Path]) -> list[str] | None:
    """Names in a file beside the shards, or one folder up, where the splits have folders of their own."""
    for folder in (paths[0].parent, paths[0].parent.parent):
        file = folder / CLASS_FILE
        if file.is_file():
            try:
                return file.read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise DataError(file, f"the file cannot be read ({error})", "Remove it to number the classes") from None
    return None


def _claims(path: Path) -> bool:
    # Looking into every folder would walk through all pictures of a set that is stored as files.
    folders = (path, *(path / split for split in _SPLITS))
    return any(any(folder.glob("*.tar")) for folder in folders) if path.is_dir() else path.suffix == ".tar"


FORMAT = Format(claims=_claims, read=read_tar_shards)
