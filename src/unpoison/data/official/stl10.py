"""STL-10 in its binary files: `train_X.bin` with pictures of 96x96 by columns, `train_y.bin` with labels from 1.

Reference: Coates et al., An Analysis of Single-Layer Networks in Unsupervised Feature Learning, AISTATS 2011,
https://cs.stanford.edu/~acoates/stl10.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unpoison.core.errors import DataError
from unpoison.core.files import file_stamp
from unpoison.core.hashing import hash_json
from unpoison.core.images import ImageSet, row_ids
from unpoison.core.limits import PICTURES
from unpoison.core.picture import Picture
from unpoison.data.format import Format, choose_split
from unpoison.data.safe.plain_files import open_plain, read_lines, read_plain

CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
_SPLITS = ("train", "test", "unlabeled")
_SIDE = 96
_BYTES = 3 * _SIDE * _SIDE
_REMEDY = "Fetch STL-10 again"


class Stl10Set(ImageSet):
    """Pictures of one file, read when they are asked for: the unlabelled ones take 2.8 GB.

    Args:
        name: short name for records.
        file: the file of pictures.
        labels: [N] class indices; -1 where unknown.
        class_names: name of each class.
    """

    format = "stl10"

    def __init__(self, name: str, file: Path, labels: np.ndarray, class_names: tuple[str, ...]):
        self._file = file
        super().__init__(name, row_ids(len(labels)), labels, class_names, np.full((len(labels), 2), _SIDE))

    def picture(self, index: int) -> Picture:
        index = range(len(self))[index]
        with open_plain(self._file) as file:
            file.seek(index * _BYTES)
            planes = np.frombuffer(file.read(_BYTES), np.uint8)
        if len(planes) < _BYTES:
            raise DataError(self._file, "the file is cut short", _REMEDY, record=index)
        return Picture(np.ascontiguousarray(planes.reshape(3, _SIDE, _SIDE).transpose(2, 1, 0)))

    def stamp(self, rows: range) -> str:
        return hash_json([file_stamp(self._file), rows.start, rows.stop])


def read_stl10(path: Path, split: str | None) -> Stl10Set:
    """Read `train`, `test` or `unlabeled`, whose labels are -1; train if none is named.

    Raises:
        DataError: a file is missing or cut short, or a label is not from 1 to 10.
    """
    part = choose_split(path, split, _SPLITS)
    file = path / f"{part}_X.bin"
    if not file.is_file():
        raise DataError(file, "there is no such file", "Unpack the whole of stl10_binary.tar.gz")
    count, rest = divmod(file.stat().st_size, _BYTES)
    if rest or not count:
        raise DataError(file, f"{file.stat().st_size} bytes are not whole pictures of {_BYTES}", _REMEDY, record=count)
    labels = np.full(count, -1) if part == "unlabeled" else _read_labels(path / f"{part}_y.bin", count)
    return Stl10Set(path.name, file, labels, _class_names(path / "class_names.txt"))


def _read_labels(file: Path, count: int) -> np.ndarray:
    if not file.is_file():
        raise DataError(file, "there is no such file", "Unpack the whole of stl10_binary.tar.gz")
    labels = np.frombuffer(read_plain(file, PICTURES), np.uint8).astype(np.int64)
    if len(labels) != count:
        raise DataError(file, f"it has {len(labels)} labels for {count} pictures", _REMEDY)
    wrong = np.flatnonzero((labels < 1) | (labels > len(CLASSES)))
    if len(wrong):
        raise DataError(file, f"label {labels[wrong[0]]} is outside 1 to {len(CLASSES)}", _REMEDY, record=int(wrong[0]))
    return labels - 1


def _class_names(file: Path) -> tuple[str, ...]:
    if not file.is_file():
        return CLASSES
    names = tuple(" ".join(read_lines(file)).split())
    if len(names) != len(CLASSES):
        raise DataError(file, f"it names {len(names)} classes, not {len(CLASSES)}", f"{_REMEDY}, or remove it")
    return names


FORMAT = Format(claims=lambda path: any((path / f"{part}_X.bin").is_file() for part in _SPLITS), read=read_stl10)
