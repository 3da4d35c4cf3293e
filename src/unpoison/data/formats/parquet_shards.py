"""Rows of a set by parquet file and row group."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from unpoison.core.errors import DataError, require
from unpoison.core.images import check_count
from unpoison.data.safe.archives import check_unpacked
from unpoison.data.safe.parquet_pages import Chunk, check_pages, column_chunks
from unpoison.data.safe.plain_files import open_plain

_MAX_GROUP = 4 * 2**30  # bytes a row group may claim to unpack to
_CACHED = 64 * 2**20  # bytes of row groups kept at hand
_ROWS = 256  # that are decoded at once
_REMEDY = "Fetch it again, or write it again"


@dataclass(frozen=True)
class RowGroup:
    """One row group of one shard.

    Args:
        shard: the file's number.
        number: the group's number in the file.
        start: row of the set at which it begins.
        rows: how many it holds.
    """

    shard: int
    number: int
    start: int
    rows: int


class Tables(Protocol):
    """Some files of rows, read group by group. Safe for several threads, and can be pickled.

    Attributes:
        paths: the files, in order.
        groups: the groups of rows, in order.
        rows: how many rows there are in all.
        schemas: the arrow schema of each file.
    """

    paths: list[Path]
    groups: list[RowGroup]
    rows: int
    schemas: list[Any]

    def column(self, group: RowGroup, name: str) -> Any:
        """One column of a group, as an arrow array."""


class Shards:
    """Row groups of some parquet files, the last few kept. Safe for several threads.

    Args:
        paths: the files, in order.
    """

    def __init__(self, paths: list[Path]):
        self.paths = paths
        self._files = [_open(path) for path in paths]
        self._chunks = [_column_chunks(path) for path in paths]
        self.schemas = [file.schema_arrow for file in self._files]
        self._lock = Lock()
        self._cache: OrderedDict[tuple[RowGroup, str], Any] = OrderedDict()
        self.groups: list[RowGroup] = []
        start = 0
        for shard, file in enumerate(self._files):
            for number in range(file.metadata.num_row_groups):
                group = file.metadata.row_group(number)
                if group.total_byte_size > _MAX_GROUP:
                    raise DataError(paths[shard], f"it claims {group.total_byte_size} bytes", _REMEDY, record=number)
                self.groups.append(RowGroup(shard, number, start, group.num_rows))
                start += group.num_rows
        self.rows = start
        check_count(paths[0].name if paths else "parquet", start)

    def __reduce__(self) -> tuple[Any, ...]:
        return Shards, (self.paths,)  # open files and locks do not travel to the workers of a loader

    def column(self, group: RowGroup, name: str) -> Any:
        """One column of a row group, as an arrow array."""
        pa = require("pyarrow", extra="parquet", purpose="reading parquet")
        key = (group, name)
        with self._lock:
            if key not in self._cache:
                try:
                    self._cache[key] = self._read(group, name)
                except (pa.ArrowException, OSError, KeyError, ValueError, OverflowError, MemoryError) as error:
                    raise _broken(self.paths[group.shard], error, group.number) from None
                while len(self._cache) > 1 and sum(array.nbytes for array in self._cache.values()) > _CACHED:
                    self._cache.popitem(last=False)
            self._cache.move_to_end(key)
            return self._cache[key]

    def _read(self, group: RowGroup, name: str) -> Any:
        """A column, a few rows at a time: rows that share a picture, stored once, are as many copies here."""
        pa = require("pyarrow", extra="parquet", purpose="reading parquet")
        path, file = self.paths[group.shard], self._files[group.shard]
        names = [file.schema.column(number).path for number in range(len(file.schema))]
        with open_plain(path) as headers:
            for own, chunk in zip(names, self._chunks[group.shard][group.number], strict=True):
                if own == name or own.startswith(f"{name}."):
                    check_pages(headers, path, chunk)
        parts, held = [], 0
        for batch in file.iter_batches(_ROWS, row_groups=[group.number], columns=[name], use_threads=False):
            held += batch.nbytes
            check_unpacked(path, held)
            parts.append(batch.column(0))
        column = pa.concat_arrays(parts) if parts else pa.array([], file.schema_arrow.field(name).type)
        if len(column) != group.rows:
            raise ValueError(f"it claims {group.rows} rows and has {len(column)}")
        column.validate(full=True)  # texts that are none, among others
        return column


def _column_chunks(path: Path) -> list[list[Chunk]]:
    with open_plain(path) as file:
        return column_chunks(file, path)


def _open(path: Path) -> Any:
    pa = require("pyarrow", extra="parquet", purpose="reading parquet")
    parquet = require("pyarrow.parquet", extra="parquet", purpose="reading parquet")
    open_plain(path).close()  # nothing but a file may be opened
    try:
        # Not memory mapped: a file that is cut short meanwhile would end the process, where reading raises an error.
        return parquet.ParquetFile(path, memory_map=False)
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise _broken(path, error) from None


def _broken(path: Path, error: Exception, group: int | None = None) -> DataError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    record = None if group is None else f"row group {group}"
    return DataError(path, f"this is not a parquet file, or it is broken ({reason})", _REMEDY, record=record)
