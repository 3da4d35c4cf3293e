"""Parquet in the image layout of the Hugging Face Hub: encoded pictures in a struct column, labels beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unpoison.core.errors import require
from unpoison.core.images import ImageSet
from unpoison.data.format import Format
from unpoison.data.formats.parquet_shards import Shards
from unpoison.data.formats.picture_table import read_tables
from unpoison.data.formats.shards import find_files, list_shards
from unpoison.data.writer import Writer

_GROUP_ROWS = 256


def read_parquet(path: Path, split: str | None) -> ImageSet:
    """Read a file, a folder or a glob of shards."""
    paths, unread = list_shards(path, split, ".parquet")
    image_set = read_tables(path, Shards(paths))
    image_set.notes += unread
    image_set.format = "parquet"
    return image_set


class ParquetWriter(Writer):
    """Writes PNG pictures in row groups of 256, with the metadata by which `datasets` knows the classes.

    A set that was read from tables keeps its columns, their names and what is in them; only the pictures are new.
    """

    stores_png = True
    holds_columns = True

    @classmethod
    def check(cls, target: Path, source: ImageSet) -> None:
        super().check(target, source)
        require("pyarrow", extra="parquet", purpose="writing parquet")

    def _begin(self) -> None:
        pa = require("pyarrow", extra="parquet", purpose="writing parquet")
        parquet = require("pyarrow.parquet", extra="parquet", purpose="writing parquet")
        picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        if self.source.columns is not None:
            self._schema, self._picture = self.source.columns.schema(picture), self.source.columns.picture
        else:
            features = {
                "image": {"_type": "Image"},
                "label": {"names": list(self.source.class_names), "_type": "ClassLabel"},
            }
            schema = pa.schema([("image", picture), ("label", pa.int64())])
            self._schema = schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
            self._picture = "image"
        self._pending: list[dict[str, Any]] = []
        self._written = 0
        # PNG does not pack any further.
        self._file = parquet.ParquetWriter(self.temporary, self._schema, compression="none")

    def _store(self, row: int, picture: bytes) -> None:
        self._pending.append({"bytes": picture, "path": f"{self.source.ids[row]}.png"})
        if len(self._pending) == _GROUP_ROWS:
            self._flush()

    def _finish(self) -> None:
        if self._pending:
            self._flush()
        self._file.close()

    def _flush(self) -> None:
        pa = require("pyarrow", extra="parquet", purpose="writing parquet")
        rows = slice(self._written, self._written + len(self._pending))
        arrays = [
            pa.array(self._pending, field.type) if field.name == self._picture else self._column(field.name, rows)
            for field in self._schema
        ]
        self._file.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._written, self._pending = rows.stop, []

    def _column(self, name: str, rows: slice) -> Any:
        if self.source.columns is not None:
            return self.source.columns.read(name, rows)
        return require("pyarrow", extra="parquet", purpose="writing parquet").array(self.source.labels[rows])

    def _release(self) -> None:
        if hasattr(self, "_file"):  # not so where pyarrow is missing
            self._file.close()


def _claims(path: Path) -> bool:
    if path.is_dir():
        # Where the Hub puts them; looking everywhere would walk through every folder of pictures.
        return bool(find_files(path, ".parquet") or find_files(path / "data", ".parquet"))
    return path.suffix.lower() == ".parquet" or path.match("*.parquet*")


FORMAT = Format(claims=_claims, read=read_parquet, writer=ParquetWriter)
