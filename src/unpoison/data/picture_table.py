"""Pictures in a column of tables, as the Hugging Face Hub stores them, whatever kind of file the tables lie in."""

from __future__ import annotations

import bisect
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from unpoison.core.errors import DataError, require
from unpoison.core.files import file_stamp
from unpoison.core.hashing import hash_json
from unpoison.core.images import ImageSet, Picture, row_ids
from unpoison.data.class_numbers import name_classes
from unpoison.data.parquet_shards import RowGroup
from unpoison.data.pictures import decode, measure
from unpoison.data.writer import is_path

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "fine_label")
_REMEDY = "Store columns image {bytes, path} and label, as the Hub does"


class Tables(Protocol):
    """Some files of rows, read group by group. Safe for several threads, and can be pickled.

    Attributes:
        paths: the files, in order.
        groups: the groups of rows, in order.
        rows: how many rows there are in all.
    """

    paths: list[Path]
    groups: list[RowGroup]
    rows: int

    @property
    def schema(self) -> Any:
        """The arrow schema."""

    def column(self, group: RowGroup, name: str) -> Any:
        """One column of a group, as an arrow array."""


class TableImageSet(ImageSet):
    """Pictures in tables, decoded on demand; only some groups of rows are in memory at a time."""

    def __init__(self, name: str, tables: Tables, column: str, labels: np.ndarray, class_names: Sequence[str]):
        self._tables, self._column = tables, column
        self._starts = [group.start for group in tables.groups]
        sizes = np.zeros((tables.rows, 2), np.int32)
        paths: list[str | None] = []
        for group in tables.groups:
            pictures = tables.column(group, column)
            for row in range(group.rows):
                sizes[group.start + row] = self._measure(group, pictures, row)
            paths += pictures.field("path").to_pylist() if _has_paths(pictures) else [None] * group.rows
        super().__init__(name, ids_of_paths(paths), labels, class_names, sizes)

    def picture(self, index: int) -> Picture:
        index = range(len(self))[index]
        group = self._tables.groups[bisect.bisect_right(self._starts, index) - 1]
        row = index - group.start
        file = self._tables.paths[group.shard]
        return decode(self._bytes(group, self._tables.column(group, self._column), row), file, record=index)

    def stamp(self, rows: range) -> str:
        groups = self._tables.groups
        first, last = (bisect.bisect_right(self._starts, row) - 1 for row in (rows.start, rows.stop - 1))
        shards = sorted({group.shard for group in groups[first : last + 1]})
        return hash_json([file_stamp(self._tables.paths[shard]) for shard in shards])

    def _measure(self, group: RowGroup, pictures: Any, row: int) -> tuple[int, int]:
        try:
            return measure(self._bytes(group, pictures, row), self._tables.paths[group.shard])
        except DataError:
            return 0, 0  # `picture` will say why

    def _bytes(self, group: RowGroup, pictures: Any, row: int) -> bytes:
        data = pictures.field("bytes")[row].as_py() if pictures[row].is_valid else None
        if data is None:
            raise DataError(
                self._tables.paths[group.shard], "the picture is not embedded", _REMEDY, record=group.start + row
            )
        return data


def read_tables(path: Path, tables: Tables) -> TableImageSet:
    """The set that tables hold.

    The id is the stored file name without extension where every picture has one of its own, else the row.

    Args:
        path: what the user named.
        tables: its files.

    Raises:
        DataError: there is no column of pictures, or none of labels.
    """
    column = _choose_column(path, tables, IMAGE_COLUMNS, _is_picture_column)
    label_column = _choose_column(path, tables, LABEL_COLUMNS, _is_integer_column)
    labels = np.concatenate([np.zeros(0, np.int64), *(_labels(tables, group, label_column) for group in tables.groups)])
    class_names = _class_names(tables, label_column)
    if class_names is None:
        class_names = name_classes(path, labels)
    return TableImageSet(path.name, tables, column, labels, class_names)


def ids_of_paths(paths: Sequence[str | None]) -> list[str]:
    """Ids of pictures that were stored with a file name each, or not: the names without extension, else the rows."""
    ids = [os.path.splitext(path)[0] for path in paths if path]
    # Absolute paths are another machine's business, and must not become file names on this one.
    return ids if len(set(ids)) == len(paths) and all(map(is_path, ids)) else row_ids(len(paths))


def _choose_column(path: Path, tables: Tables, names: tuple[str, ...], fits: Callable[[Any], bool]) -> str:
    schema = tables.schema
    try:
        present = schema.names
    except UnicodeDecodeError:
        raise DataError(path, "the names of its columns are broken", _REMEDY) from None
    for name in names:
        if present.count(name) > 1:
            raise DataError(path, f"it has the column {name} twice", _REMEDY)
        if name in present and fits(schema.field(name).type):
            return name
    raise DataError(path, f"no fitting column {' or '.join(names)} among {', '.join(present)}", _REMEDY)


def _is_picture_column(kind: Any) -> bool:
    types = require("pyarrow", extra="parquet", purpose="reading parquet").types
    if not types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        return False
    return types.is_binary(kind.field("bytes").type) or types.is_large_binary(kind.field("bytes").type)


def _is_integer_column(kind: Any) -> bool:
    return require("pyarrow", extra="parquet", purpose="reading parquet").types.is_integer(kind)


def _labels(tables: Tables, group: RowGroup, column: str) -> np.ndarray:
    pa = require("pyarrow", extra="parquet", purpose="reading parquet")
    try:
        # First signed, so that unknown labels of an unsigned column can become -1.
        return tables.column(group, column).cast("int64").fill_null(-1).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        file = tables.paths[group.shard]
        raise DataError(file, "a label is no number of a class", "Correct the label", record=column) from None


def _class_names(tables: Tables, column: str) -> list[str] | None:
    """The names that the Hub's metadata gives the labels, if it is there."""
    try:
        feature = json.loads((tables.schema.metadata or {})[b"huggingface"])["info"]["features"][column]
        return [str(name) for name in feature["names"]]
    except (KeyError, TypeError, ValueError):
        return None


def _has_paths(pictures: Any) -> bool:
    types = require("pyarrow", extra="parquet", purpose="reading parquet").types
    return pictures.type.get_field_index("path") >= 0 and types.is_string(pictures.type.field("path").type)
