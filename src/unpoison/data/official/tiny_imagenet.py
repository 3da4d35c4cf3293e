"""Tiny-ImageNet in its official folders: `wnids.txt`, `train/<wnid>/images` and `val/val_annotations.txt`.

The classes are the WordNet ids in ascending order, as on the Hub and in every folder sorted by class.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from unpoison.core.errors import DataError, UnsafeFileError
from unpoison.data.format import Format, choose_split
from unpoison.data.pictures.codec import SUFFIXES
from unpoison.data.pictures.files import PictureFiles
from unpoison.data.safe.plain_files import check_link, read_lines

_WNIDS, _ANNOTATIONS = "wnids.txt", "val_annotations.txt"
_WNID = re.compile(r"n\d{8}")
_REMEDY = "Fetch Tiny-ImageNet again"


def read_tiny_imagenet(path: Path, split: str | None) -> PictureFiles:
    """Read `train`, `val` or `test`; train if none is named. The pictures of `test` have no label.

    The training set is in the order of a folder sorted by class and file name, `val` in that of its annotations.

    Raises:
        DataError: a class, a picture or an annotation is missing or broken.
        UnsafeFileError: a name or a link leads out of the folder.
    """
    classes = _read_classes(path / _WNIDS)
    part = choose_split(path, split, ("train", "val", "test"))
    root, files, labels = {"train": _train, "val": _val, "test": _test}[part](path / part, classes)
    image_set = PictureFiles(root, files, labels, classes)
    image_set.name, image_set.format = path.name, "tiny-imagenet"
    return image_set


def _train(root: Path, classes: list[str]) -> tuple[Path, list[str], list[int]]:
    files, labels = [], []
    for label, wnid in enumerate(classes):
        check_link(root, root / wnid)
        found = [f"{wnid}/images/{name}" for name in _list_pictures(root / wnid / "images")]
        files += found
        labels += [label] * len(found)
    return root, files, labels


def _val(root: Path, classes: list[str]) -> tuple[Path, list[str], list[int]]:
    index = {wnid: label for label, wnid in enumerate(classes)}
    present = set(_list_pictures(root / "images"))
    labels: dict[str, int] = {}
    annotations = root / _ANNOTATIONS
    for number, line in enumerate(_read_lines(annotations), start=1):
        name, _, rest = line.partition("\t")
        wnid = rest.partition("\t")[0]
        if wnid not in index:
            raise DataError(annotations, f"{wnid[:20]!r} is no class of {_WNIDS}", _REMEDY, record=f"line {number}")
        if "/" in name or "\\" in name:
            raise UnsafeFileError(annotations, "the name leaves the folder", _REMEDY, record=f"line {number}")
        if name not in present:
            raise DataError(annotations, f"there is no picture {name[:40]!r}", _REMEDY, record=f"line {number}")
        if name in labels:
            raise DataError(annotations, f"it names {name[:40]!r} twice", _REMEDY, record=f"line {number}")
        labels[name] = index[wnid]
    if len(labels) < len(present):
        raise DataError(annotations, f"it says nothing of {min(present - set(labels))!r}", _REMEDY)
    return root / "images", list(labels), list(labels.values())


def _test(root: Path, classes: list[str]) -> tuple[Path, list[str], list[int]]:
    files = _list_pictures(root / "images")
    return root / "images", files, np.full(len(files), -1).tolist()


def _list_pictures(folder: Path) -> list[str]:
    """Names of the pictures in a folder, ascending."""
    if not folder.is_dir():
        raise DataError(folder, "there is no such folder", _REMEDY)
    check_link(folder.parent, folder)
    names = sorted(entry.name for entry in folder.iterdir() if entry.suffix.lower() in SUFFIXES)
    if not names:
        raise DataError(folder, "it holds no pictures", _REMEDY)
    return names


def _read_classes(file: Path) -> list[str]:
    wnids = _read_lines(file)
    for number, wnid in enumerate(wnids, start=1):
        if not _WNID.fullmatch(wnid):
            raise DataError(file, f"{wnid[:20]!r} is no WordNet id", _REMEDY, record=f"line {number}")
    if len(set(wnids)) < len(wnids):
        raise DataError(file, "it names a class twice", _REMEDY)
    return sorted(wnids)


def _read_lines(file: Path) -> list[str]:
    found = [line.strip() for line in read_lines(file) if line.strip()]
    if not found:
        raise DataError(file, "it is empty", _REMEDY)
    return found


def _claims(path: Path) -> bool:
    return (path / _WNIDS).is_file() and any((path / part).is_dir() for part in ("train", "val"))


FORMAT = Format(claims=_claims, read=read_tiny_imagenet)
