"""Image folders in one file, a `.zip` or a `.tar.gz`, read without unpacking them to the disk."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np

from unpoison.core.errors import DataError, UnsafeFileError
from unpoison.core.images import ImageSet
from unpoison.core.limits import ARCHIVE_BYTES, PICTURE_BYTES
from unpoison.core.notes import Note
from unpoison.core.picture import Picture
from unpoison.data.format import Format, note_unread
from unpoison.data.formats.folder import CLASS_FILE, choose_folder, order_classes
from unpoison.data.pictures.codec import SUFFIXES, decode, measure
from unpoison.data.pictures.files import OWN_FILES
from unpoison.data.safe.archives import first_names, open_zip, read_member, read_tar

_GZIPPED = (".tar.gz", ".tgz")
_LOOKED_AT = 50  # members until a .tar.gz of pictures should have shown one


class _Members(Protocol):
    def read(self, name: str) -> bytes: ...


class ArchivedPictures(ImageSet):
    """Pictures in an archive, decoded on demand.

    Args:
        path: the archive.
        members: its contents.
        files: per picture its path in the archive.
        ids: per picture its path without what all have in common, and without extension.
        labels: [N] class indices.
        class_names: name of each class.
    """

    format = "archive"

    def __init__(
        self,
        path: Path,
        members: _Members,
        files: Sequence[str],
        ids: Sequence[str],
        labels: Sequence[int],
        class_names: Sequence[str],
    ):
        self._path, self._members, self.files = path, members, tuple(files)
        sizes = np.array([self._measure(file) for file in files], np.int32)
        super().__init__(path.name, ids, labels, class_names, sizes)

    def picture(self, index: int) -> Picture:
        file = self.files[index]
        return decode(self._members.read(file), self._path, record=file)

    def stamp(self, rows: range) -> str:
        digest = hashlib.sha256()
        for row in rows:
            digest.update(hashlib.sha256(self._members.read(self.files[row])).digest())
        return digest.hexdigest()

    def _measure(self, file: str) -> tuple[int, int]:
        try:
            return measure(self._members.read(file), self._path, record=file)
        except DataError:
            return 0, 0  # `picture` will say why


def read_archived_folder(path: Path, split: str | None) -> ImageSet:
    """Read an archive of class folders, as `read_folder` reads them from the disk; `#name` reads the folder `name`.

    Folders around the class folders, as `tar -czf set.tar.gz set` makes them, are passed over.

    Raises:
        DataError: the archive is broken, holds no class folders, or is a `.tar.gz` too large for the memory.
        UnsafeFileError: a member leaves the archive, or it unpacks to far too much.
    """
    names, members = _open(path)
    top = _common_folder(names)
    if split is not None:
        top += f"{split}/"
    inside = {name: name.removeprefix(top) for name in names if name.startswith(top)}
    folders = _class_folders(inside.values())
    chosen, unread = choose_folder(path, folders) if split is None else (None, [])
    if chosen is not None:
        top += f"{chosen}/"
        inside = {name: name.removeprefix(top) for name in names if name.startswith(top)}
        folders = _class_folders(inside.values())
    files = [name for name, rest in inside.items() if "/" in rest and _is_picture(rest)]
    if not files:
        what = "its pictures lie in no class folders" if any(map(_is_picture, inside.values())) else "it holds none"
        raise DataError(path, f"this is no archive of pictures by class: {what}", "Unpack it, and name its folder")
    class_file = f"{top}{CLASS_FILE}"
    class_names = order_classes(path / class_file, members.read(class_file) if class_file in names else None, folders)
    files.sort(key=lambda name: os.path.split(inside[name]))
    index = {class_name: label for label, class_name in enumerate(class_names)}
    image_set = ArchivedPictures(
        path,
        members,
        files,
        [str(PurePosixPath(inside[name]).with_suffix("")) for name in files],
        [index[inside[name].split("/")[0]] for name in files],
        class_names,
    )
    others = sorted(rest for rest in set(inside.values()) - {inside[name] for name in files} - OWN_FILES)
    if others:
        image_set.notes = (Note.of("files that are no pictures, or lie in no class folder, left alone", others),)
    image_set.notes += note_unread(chosen or "", unread)
    return image_set


def _open(path: Path) -> tuple[list[str], _Members]:
    """Paths of all files in an archive, and what reads them."""
    if path.name.lower().endswith(".zip"):
        with open_zip(path) as archive:
            found = [member for member in archive.infolist() if not member.is_dir()]
        for member in found:
            if member.file_size > PICTURE_BYTES and _is_picture(member.filename):
                raise UnsafeFileError(
                    path, f"a picture of {member.file_size} bytes", "Remove it", record=member.filename
                )
        return [member.filename for member in found], _Zip(path)
    names: list[str] = []

    def wanted(name: PurePosixPath) -> bool:
        names.append(str(name))
        return name.suffix.lower() in SUFFIXES or name.name == CLASS_FILE

    return names, _Loaded(read_tar(path, wanted, most=ARCHIVE_BYTES))


class _Zip:
    """Members of a zip, read where they lie."""

    def __init__(self, path: Path):
        self._path = path

    @cached_property
    def _archive(self) -> zipfile.ZipFile:  # opened on first use, in each process that reads
        return open_zip(self._path)

    def __reduce__(self) -> tuple[type[_Zip], tuple[Path]]:
        return _Zip, (self._path,)

    def read(self, name: str) -> bytes:
        return read_member(self._archive, name, self._path)


class _Loaded:
    def __init__(self, contents: Mapping[str, bytes]):
        self._contents = contents

    def read(self, name: str) -> bytes:
        return self._contents[name]


def _common_folder(names: Sequence[str]) -> str:
    """The folders that all pictures share above their class folders, with a slash at the end."""
    parents = [os.path.dirname(name) for name in names if _is_picture(name)]
    common = os.path.commonpath(parents) if parents else ""
    if parents.count(common) > len(parents) / 2:  # it is the class itself, and not one loose picture lies beside them
        common = os.path.dirname(common)
    return f"{common}/" if common else ""


def _class_folders(names: Iterable[str]) -> list[str]:
    return sorted({name.split("/")[0] for name in names if "/" in name and _is_picture(name)})


def _is_picture(name: str) -> bool:
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and PurePosixPath(name).suffix.lower() in SUFFIXES


def _claims(path: Path) -> bool:
    name = path.name.lower()
    if not path.is_file() or not name.endswith((".zip", *_GZIPPED)):
        return False
    # CIFAR comes in a .tar.gz too, and its reader says what is wrong with those that are broken.
    return name.endswith(".zip") or any(map(_is_picture, first_names(path, _LOOKED_AT)))


FORMAT = Format(claims=_claims, read=read_archived_folder)
