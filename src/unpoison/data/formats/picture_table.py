"""Pictures in a column of tables, as the Hugging Face Hub stores them, whatever kind of file the tables lie in."""

from __future__ import annotations

import bisect
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unpoison.core.classes import match_labels
from unpoison.core.errors import DataError, require
from unpoison.core.files import file_stamp
from unpoison.core.hashing import hash_json
from unpoison.core.images import ImageSet
from unpoison.core.notes import Note
from unpoison.core.picture import Picture
from unpoison.data.class_names import name_classes
from unpoison.data.formats.parquet_shards import RowGroup, Tables
from unpoison.data.formats.table_columns import TableColumns, features
from unpoison.data.labels import LABEL_NAMES, Labels, read_labels
from unpoison.data.pictures.codec import decode, measure
from unpoison.data.safe.archives import check_unpacked
from unpoison.data.stored_names import choose_ids

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "fine_label", *(name for name in LABEL_NAMES if name != "label"))
_REMEDY = "Store columns image {bytes, path} and label, as the Hub does"


class TableImageSet(ImageSet):
    """Pictures in tables, decoded on demand; only some groups of rows are in memory at a time."""

    def __init__(self, name: str, tables: Tables, column: str, labels: np.ndarray, class_names: Sequence[str]):
        self._tables, self._column = tables, column
        self._starts = [group.start for group in tables.groups]
        sizes = np.zeros((tables.rows, 2), np.int32)
        paths: list[str | None] = []
        held = [0] * len(tables.paths)
        for group in tables.groups:
            pictures = tables.column(group, column)
            held[group.shard] += pictures.nbytes
            check_unpacked(tables.paths[group.shard], held[group.shard])  # rows can share one stored picture
            for row in range(group.rows):
                sizes[group.start + row] = self._measure(group, pictures, row)
            paths += pictures.field("path").to_pylist() if _has_paths(pictures) else [None] * group.rows
        ids, notes = choose_ids([path and os.path.splitext(path)[0] for path in paths])
        super().__init__(name, ids, labels, class_names, sizes)
        self.notes = notes

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
        data: bytes | None = pictures.field("bytes")[row].as_py() if pictures[row].is_valid else None
        if data is None:
            raise DataError(
                self._tables.paths[group.shard], "the picture is not embedded", _REMEDY, record=group.start + row
            )
        return data


def read_tables(path: Path, tables: Tables) -> TableImageSet:
    """The set that tables hold.

    The id is the stored file name without extension where every picture has one of its own, else the row. Without a
    column of labels all are unknown. Shards that number their classes differently are matched by name.

    Args:
        path: what the user named.
        tables: its files.

    Raises:
        DataError: there is no column of pictures.
    """
    present = _names(path, tables.schemas[0])
    fitting = [name for name in IMAGE_COLUMNS if name in present and _is_picture_column(tables, name)]
    if not fitting:
        raise DataError(path, f"no fitting column {' or '.join(IMAGE_COLUMNS)} among {', '.join(present)}", _REMEDY)
    column, label = fitting[0], _label_column(tables)
    labels, matched = _read_labels(path, tables, label)
    image_set = TableImageSet(path.name, tables, column, labels.numbers, labels.class_names)
    renumbered = (image_set.labels, image_set.class_names) if matched else None
    image_set.columns = TableColumns(tables, column, label, renumbered=renumbered)
    lost = image_set.columns.lost
    image_set.notes += labels.notes + ((Note.of("columns that differ between shards, left out", lost),) if lost else ())
    return image_set


def _names(path: Path, schema: Any) -> list[str]:
    try:
        names = list(schema.names)
    except UnicodeDecodeError:
        raise DataError(path, "the names of its columns are broken", _REMEDY) from None
    for name in (*IMAGE_COLUMNS, *LABEL_COLUMNS):
        if names.count(name) > 1:
            raise DataError(path, f"it has the column {name} twice", _REMEDY)
    return names


def _is_picture_column(tables: Tables, name: str) -> bool:
    types = require("pyarrow", extra="parquet", purpose="reading parquet").types
    kind = tables.schemas[0].field(name).type
    if not types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        return False
    stored = kind.field("bytes").type
    return bool(types.is_binary(stored) or types.is_large_binary(stored))


def _label_column(tables: Tables) -> str | None:
    """The column of labels: by its name, or the first whose classes have names."""
    schema = tables.schemas[0]
    named = [name for name, feature in features(schema).items() if feature.get("_type") == "ClassLabel"]
    return next((name for name in (*LABEL_COLUMNS, *named) if name in schema.names), None)


def _read_labels(path: Path, tables: Tables, column: str | None) -> tuple[Labels, bool]:
    """The labels of all shards in the numbers of the first, and whether another shard numbers them differently."""
    if column is None:
        return Labels(np.full(tables.rows, -1), ()), False
    types = require("pyarrow", extra="parquet", purpose="reading parquet").types
    missing = [path for path, schema in zip(tables.paths, tables.schemas, strict=True) if column not in schema.names]
    if missing:
        raise DataError(missing[0], f"it lacks the column {column} of {tables.paths[0].name}", _REMEDY)
    if not all(types.is_integer(schema.field(column).type) for schema in tables.schemas):
        values = itertools.chain.from_iterable(tables.column(group, column).to_pylist() for group in tables.groups)
        return read_labels(path, values, class_names=_class_names(tables.schemas[0], column)), False
    names = [_class_names(schema, column) for schema in tables.schemas]
    numbers = np.concatenate([np.zeros(0, np.int64), *(_labels(tables, group, column) for group in tables.groups)])
    if all(other == names[0] for other in names):
        return read_labels(path, numbers, class_names=names[0]), False
    shards = np.repeat([group.shard for group in tables.groups], [group.rows for group in tables.groups])
    wanted = list(dict.fromkeys(name for shard_names in names for name in shard_names or ()))
    for shard, shard_names in enumerate(names):
        rows, file = shards == shard, tables.paths[shard].name
        own = name_classes(tables.paths[shard], numbers[rows]) if shard_names is None else shard_names
        if int(numbers[rows].max(initial=-1)) >= len(own):
            raise DataError(tables.paths[shard], f"a label is outside 0 to {len(own) - 1}", "Correct it", record=column)
        numbers[rows] = match_labels(numbers[rows], own, wanted, name=file, wanted_by="the other shards")
    other = [file.name for file, own in zip(tables.paths, names, strict=True) if own != names[0]]
    note = Note.of(f"shards that number their classes otherwise than {tables.paths[0].name}, matched by name", other)
    return Labels(numbers, wanted, (note,)), True


def _labels(tables: Tables, group: RowGroup, column: str) -> np.ndarray:
    pa = require("pyarrow", extra="parquet", purpose="reading parquet")
    try:
        # First signed, so that unknown labels of an unsigned column can become -1.
        labels: np.ndarray = tables.column(group, column).cast("int64").fill_null(-1).to_numpy(zero_copy_only=False)
        return labels
    except pa.ArrowInvalid:
        file = tables.paths[group.shard]
        raise DataError(file, "a label is no number of a class", "Correct the label", record=column) from None


def _class_names(schema: Any, column: str) -> list[str] | None:
    """The names that the Hub's metadata gives the labels, if it is there."""
    names = features(schema).get(column, {}).get("names")
    return [str(name) for name in names] if isinstance(names, list) else None


def _has_paths(pictures: Any) -> bool:
    types = require("pyarrow", extra="parquet", purpose="reading parquet").types
    return bool(pictures.type.get_field_index("path") >= 0 and types.is_string(pictures.type.field("path").type))
