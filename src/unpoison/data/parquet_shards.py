"""Where in the parquet files of a set a row lies."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from unpoison.core.errors import DataError, require

_MAX_GROUP = 4 * 2**30  # bytes a row group may claim to unpack to
_CACHED = 64 * 2**20  # bytes of row groups kept at hand
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

    def __reduce__(self):
        return Shards, (self.paths,)  # open files and locks do not travel to the workers of a loader

    def column(self, group: RowGroup, name: str) -> Any:
        """One column of a row group, as an arrow array."""
        pa = require("pyarrow", extra="parquet", purpose="reading parquet")
        key = (group, name)
        with self._lock:
            if key not in self._cache:
                try:
                    table = self._files[group.shard].read_row_group(group.number, [name])
                    self._cache[key] = table.column(name).combine_chunks()
                except (pa.ArrowException, OSError, KeyError) as error:
                    raise _broken(self.paths[group.shard], error, group.number) from None
                while len(self._cache) > 1 and sum(array.nbytes for array in self._cache.values()) > _CACHED:
                    self._cache.popitem(last=False)
            self._cache.move_to_end(key)
            return self._cache[key]


def _open(path: Path) -> Any:
    pa = require("pyarrow", extra="parquet", purpose="reading parquet")
    parquet = require("pyarrow.parquet", extra="parquet", purpose="reading parquet")
    try:
        # Not memory mapped: a file that is cut short meanwhile would end the process, where reading raises an error.
        return parquet.ParquetFile(path, memory_map=False)
    except (pa.ArrowException, OSError) as error:
        raise _broken(path, error) from None


def _broken(path: Path, error: Exception, group: int | None = None) -> DataError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    record = None if group is None else f"row group {group}"
    return DataError(path, f"this is not a parquet file, or it is broken ({reason})", _REMEDY, record=record)
