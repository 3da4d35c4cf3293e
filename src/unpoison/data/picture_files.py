"""Sets whose pictures are files below one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unpoison.core.errors import DataError, UnsafeFileError
from unpoison.core.images import ImageSet, Picture
from unpoison.data.pictures import decode, measure


class PictureFiles(ImageSet):
    """Picture files, decoded on demand.

    Args:
        root: the folder.
        files: per picture its path below the root.
        labels: [N] class indices; -1 where unknown.
        class_names: name of each class.
        other_files: how many files were found and left alone.
    """

    def __init__(
        self,
        root: Path,
        files: Sequence[str],
        labels: Sequence[int] | np.ndarray,
        class_names: Sequence[str],
        *,
        other_files: int = 0,
    ):
        self.root, self.files, self.other_files = root, tuple(files), other_files
        sizes = np.array([self._measure(file) for file in self.files], np.int32)
        ids = [str(Path(file).with_suffix("").as_posix()) for file in self.files]
        super().__init__(root.name or root.resolve().name, ids, labels, class_names, sizes)

    def picture(self, index: int) -> Picture:
        path = self.root / self.files[index]
        return decode(_read(path), path)

    def _measure(self, file: str) -> tuple[int, int]:
        path = self.root / file
        check_link(self.root, path)
        try:
            return measure(_read(path), path)
        except DataError:
            return 0, 0  # `picture` will say why


def check_link(root: Path, path: Path) -> None:
    """Refuse a link that leads out of the set's folder.

    Raises:
        UnsafeFileError: it does, or it leads to a folder, where it could lead round in a circle.
    """
    if path.is_symlink() and (path.is_dir() or not path.resolve().is_relative_to(root.resolve())):
        raise UnsafeFileError(path, "the link leads out of the folder or to a folder", "Replace it by a copy")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(path, f"the file cannot be read ({error.strerror})", "Check it and its permissions") from None
