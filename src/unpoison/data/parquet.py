"""Parquet in the image layout of the Hugging Face Hub: encoded pictures in a struct column, labels beside them."""

from __future__ import annotations

import bisect
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from unpoison.core.errors import DataError, require
from unpoison.core.images import ImageSet, Picture, row_ids
from unpoison.data.formats import Format
from unpoison.data.parquet_shards import RowGroup, Shards, list_shards
from unpoison.data.pictures import decode, encode, measure
from unpoison.data.writer import Writer, is_path

_IMAGE_COLUMNS = ("image", "img")
_LABEL_COLUMNS = ("label", "fine_label")
_GROUP_ROWS = 256
_REMEDY = "Store columns image {bytes, path} and label, as the Hub does"


class ParquetImageSet(ImageSet):
    """Pictures inside parquet files, decoded on demand; only some row groups are in memory at a time."""

    format = "parquet"

    def __init__(self, name: str, shards: Shards, column: str, labels: np.ndarray, class_names: list[str]):
        self._shards, self._column = shards, column
        self._starts = [group.start for group in shards.groups]
        sizes = np.zeros((shards.rows, 2), np.int32)
        paths: list[str | None] = []
        for group in shards.groups:
            pictures = shards.column(group, column)
            for row in range(group.rows):
                sizes[group.start + row] = self._measure(group, pictures, row)
            paths += pictures.field("path").to_pylist() if _has_paths(pictures) else [None] * group.rows
        super().__init__(name, _ids(paths), labels, class_names, sizes)

    def picture(self, index: int) -> Picture:
        index = range(len(self))[index]
        group = self._shards.groups[bisect.bisect_right(self._starts, index) - 1]
        row = index - group.start
        file = self._shards.paths[group.shard]
        return decode(self._bytes(group, self._shards.column(group, self._column), row), file, record=index)

    def _measure(self, group: RowGroup, pictures: Any, row: int) -> tuple[int, int]:
        try:
            return measure(self._bytes(group, pictures, row), self._shards.paths[group.shard])
        except DataError:
            return 0, 0  # `picture` will say why

    def _bytes(self, group: RowGroup, pictures: Any, row: int) -> bytes:
        data = pictures.field("bytes")[row].as_py() if pictures[row].is_valid else None
        if data is None:
            raise DataError(
                self._shards.paths[group.shard], "the picture is not embedded", _REMEDY, record=group.start + row
            )
        return data


def read_parquet(path: Path, split: str | None) -> ImageSet:
    """Read a file, a folder or a glob of shards.

    The id is the stored file name without extension where every picture has one of its own, else the row.
    """
    shards = Shards(list_shards(path, split))
    column = _choose_column(path, shards, _IMAGE_COLUMNS, _is_picture_column)
    label_column = _choose_column(path, shards, _LABEL_COLUMNS, _is_integer_column)
    labels = [
        shards.column(group, label_column).fill_null(-1).to_numpy(zero_copy_only=False) for group in shards.groups
    ]
    joined = np.concatenate([np.zeros(0, np.int64), *labels]).astype(np.int64)
    class_names = _class_names(shards, label_column)
    if class_names is None:
        class_names = [str(label) for label in range(int(joined.max(initial=-1)) + 1)]
    return ParquetImageSet(path.name, shards, column, joined, class_names)


def _choose_column(path: Path, shards: Shards, names: tuple[str, ...], fits: Any) -> str:
    schema = shards.schema
    for name in names:
        if name in schema.names and fits(schema.field(name).type):
            return name
    raise DataError(path, f"no fitting column {' or '.join(names)} among {', '.join(schema.names)}", _REMEDY)


def _is_picture_column(kind: Any) -> bool:
    types = require("pyarrow", extra="parquet", purpose="reading parquet").types
    if not types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        return False
    return types.is_binary(kind.field("bytes").type) or types.is_large_binary(kind.field("bytes").type)


def _is_integer_column(kind: Any) -> bool:
    return require("pyarrow", extra="parquet", purpose="reading parquet").types.is_integer(kind)


def _class_names(shards: Shards, column: str) -> list[str] | None:
    """The names that the Hub's metadata gives the labels, if it is there."""
    try:
        feature = json.loads((shards.schema.metadata or {})[b"huggingface"])["info"]["features"][column]
        return [str(name) for name in feature["names"]]
    except (KeyError, TypeError, ValueError):
        return None


def _has_paths(pictures: Any) -> bool:
    types = require("pyarrow", extra="parquet", purpose="reading parquet").types
    return pictures.type.get_field_index("path") >= 0 and types.is_string(pictures.type.field("path").type)


def _ids(paths: list[str | None]) -> list[str]:
    ids = [os.path.splitext(path)[0] for path in paths if path]
    # Absolute paths are another machine's business, and must not become file names on this one.
    return ids if len(set(ids)) == len(paths) and all(map(is_path, ids)) else row_ids(len(paths))


class ParquetWriter(Writer):
    """Writes PNG pictures in row groups of 256, with the metadata by which `datasets` knows the classes."""

    def _begin(self) -> None:
        pa = require("pyarrow", extra="parquet", purpose="writing parquet")
        parquet = require("pyarrow.parquet", extra="parquet", purpose="writing parquet")
        features = {
            "image": {"_type": "Image"},
            "label": {"names": list(self.source.class_names), "_type": "ClassLabel"},
        }
        picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        schema = pa.schema([("image", picture), ("label", pa.int64())])
        self._schema = schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        self._pending: list[dict[str, Any]] = []
        # PNG does not pack any further.
        self._file = parquet.ParquetWriter(self.temporary, self._schema, compression="none")

    def _store(self, row: int, array: np.ndarray) -> None:
        picture = {"bytes": encode(array), "path": f"{self.source.ids[row]}.png"}
        self._pending.append({"image": picture, "label": int(self.source.labels[row])})
        if len(self._pending) == _GROUP_ROWS:
            self._flush()

    def _finish(self) -> None:
        if self._pending:
            self._flush()
        self._file.close()

    def _flush(self) -> None:
        pa = require("pyarrow", extra="parquet", purpose="writing parquet")
        self._file.write_table(pa.Table.from_pylist(self._pending, schema=self._schema))
        self._pending = []

    def _release(self) -> None:
        if hasattr(self, "_file"):  # not so where pyarrow is missing
            self._file.close()


def _claims(path: Path) -> bool:
    if path.is_dir():
        # Where the Hub puts them; looking everywhere would walk through every folder of pictures.
        return any(path.glob("*.parquet")) or any(path.glob("data/*.parquet"))
    return path.suffix == ".parquet" or path.match("*.parquet*")


FORMAT = Format(claims=_claims, read=read_parquet, writer=ParquetWriter)
