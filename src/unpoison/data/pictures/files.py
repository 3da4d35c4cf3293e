"""Sets whose pictures are files below one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unpoison.core.errors import DataError
from unpoison.core.files import file_stamp
from unpoison.core.hashing import hash_json
from unpoison.core.images import ImageSet
from unpoison.core.limits import PICTURE_BYTES
from unpoison.core.notes import Note
from unpoison.core.picture import Picture
from unpoison.data.pictures.codec import decode, measure
from unpoison.data.safe.plain_files import check_link, read_plain

# What our own runs put beside the pictures.
OWN_FILES = frozenset(
    {"manifest.json", "changes.html", "class_names.txt", "poisoned_ids.txt", "trigger.npy", "target.npy"}
)
_HEAD_BYTES = 65_536  # holds nearly every header; reading whole files would read a set of photographs twice


class PictureFiles(ImageSet):
    """Picture files, decoded on demand.

    Args:
        root: the folder.
        files: per picture its path below the root.
        labels: [N] class indices; -1 where unknown.
        class_names: name of each class.
        others: files that were found beside the pictures and left alone.
    """

    def __init__(
        self,
        root: Path,
        files: Sequence[str],
        labels: Sequence[int] | np.ndarray,
        class_names: Sequence[str],
        *,
        others: Sequence[str] = (),
    ):
        self.root, self.files = root, tuple(files)
        if others:
            self.notes = (Note.of("files that are no pictures, left alone", sorted(others)),)
        sizes = np.array([self._measure(file) for file in self.files], np.int32)
        ids = [str(Path(file).with_suffix("").as_posix()) for file in self.files]
        super().__init__(root.name or root.resolve().name, ids, labels, class_names, sizes)

    def picture(self, index: int) -> Picture:
        path = self.root / self.files[index]
        return decode(read_plain(path, PICTURE_BYTES), path)

    def stamp(self, rows: range) -> str:
        return hash_json([file_stamp(self.root / self.files[row]) for row in rows])

    def _measure(self, file: str) -> tuple[int, int]:
        path = self.root / file
        check_link(self.root, path)
        for size, whole in ((_HEAD_BYTES, False), (PICTURE_BYTES, True)):
            try:
                data = read_plain(path, size, whole=whole)
                # Pillow reads on in a TIFF that is cut short, and its size may then be another one.
                if whole or not data.startswith((b"II", b"MM")):
                    return measure(data, path)
            except DataError:
                continue
        return 0, 0  # `picture` will say why


def list_others(root: Path) -> list[str]:
    """Names of the files in a folder itself, other than those that our own runs put there."""
    return [entry.name for entry in root.iterdir() if entry.is_file() and entry.name not in OWN_FILES]
