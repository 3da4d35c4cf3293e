"""The columns of tables beside the pictures: captions, further labels. They are kept where tables are written again."""

from __future__ import annotations

import bisect
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unpoison.core.errors import require
from unpoison.data.formats.parquet_shards import Tables


class TableColumns:
    """All columns of some tables but that of the pictures, by row of a set. Satisfies `core.columns.Columns`.

    Args:
        tables: the files.
        picture: name of the column of pictures.
        label: name of the column of labels, if there is one.
        renumbered: [N] labels and their names, where the shards number their classes differently.
        rows: [M] rows of the tables; all if None.
    """

    def __init__(
        self,
        tables: Tables,
        picture: str,
        label: str | None,
        *,
        renumbered: tuple[np.ndarray, Sequence[str]] | None = None,
        rows: np.ndarray | None = None,
    ):
        self._tables, self.picture, self.label, self._renumbered = tables, picture, label, renumbered
        self._rows = np.arange(tables.rows) if rows is None else rows
        self._starts = [group.start for group in tables.groups]
        self.kept, self.lost = _common(tables, {picture, *([label] if renumbered and label else [])})

    @property
    def names(self) -> list[str]:
        """The columns beside picture and label."""
        return [name for name in self.kept if name not in (self.picture, self.label)]

    def take(self, rows: np.ndarray) -> TableColumns:
        """The same of some rows, [n] whole numbers."""
        return TableColumns(
            self._tables, self.picture, self.label, renumbered=self._renumbered, rows=self._rows[np.asarray(rows)]
        )

    def schema(self, picture: Any) -> Any:
        """Arrow schema of the tables, with another type of picture, and the metadata by which `datasets` knows them."""
        pa = require("pyarrow", extra="parquet", purpose="writing parquet")
        first = self._tables.schemas[0]
        fields = [pa.field(name, picture) if name == self.picture else first.field(name) for name in self.kept]
        described = dict(features(first))
        described[self.picture] = {"_type": "Image", **described.get(self.picture, {})}
        if self._renumbered and self.label:
            described[self.label] = {"names": list(self._renumbered[1]), "_type": "ClassLabel"}
        metadata = {**(first.metadata or {}), b"huggingface": json.dumps({"info": {"features": described}})}
        return pa.schema(fields, metadata)

    def read(self, name: str, rows: slice) -> Any:
        """A column's values in some rows of the set, as an arrow array."""
        pa = require("pyarrow", extra="parquet", purpose="writing parquet")
        wanted = self._rows[rows].tolist()
        if self._renumbered and name == self.label:
            labels = self._renumbered[0][wanted]
            return pa.array(labels, mask=labels < 0).cast(self._tables.schemas[0].field(name).type)
        parts, place = [], 0
        while place < len(wanted):
            number = bisect.bisect_right(self._starts, wanted[place]) - 1
            group = self._tables.groups[number]
            end = place
            while end < len(wanted) and group.start <= wanted[end] < group.start + group.rows:
                end += 1
            inside = pa.array([row - group.start for row in wanted[place:end]], pa.int64())
            parts.append(self._tables.column(group, name).take(inside))
            place = end
        return pa.concat_arrays(parts)


def features(schema: Any) -> Mapping[str, Any]:
    """What the Hub's metadata says of the columns, if it is there."""
    try:
        found = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: value for name, value in found.items() if isinstance(value, dict)}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}


def _common(tables: Tables, excused: set[str]) -> tuple[list[str], list[str]]:
    """Columns that mean the same in every shard, in order, and those that do not; some may differ in their meaning."""
    first, *others = tables.schemas
    kept = [name for name in first.names if first.names.count(name) == 1]
    for schema in others:
        kept = [
            name
            for name in kept
            if schema.names.count(name) == 1
            and schema.field(name).type == first.field(name).type
            and (name in excused or features(schema).get(name) == features(first).get(name))
        ]
    everything = dict.fromkeys(name for schema in tables.schemas for name in schema.names)
    return kept, [name for name in everything if name not in kept]
