"""Which parquet files make a split, and where in them a row lies."""

from __future__ import annotations

import glob
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from unpoison.core.errors import DataError, require
from unpoison.data.formats import choose_split, refuse_split

_MAX_GROUP = 4 * 2**30  # bytes a row group may claim to unpack to
_CACHED = 256 * 2**20  # bytes of row groups kept at hand
_REMEDY = "Fetch it again, or write it again"


def list_shards(path: Path, split: str | None) -> list[Path]:
    """The files of a split: one file, those that match a glob, or those of a folder.

    In a folder a file belongs to the split that its name (`train-00000-of-00002.parquet`) or its folder begins with.

    Raises:
        DataError: there are none.
        SettingsError: the files hold no such split.
    """
    if path.is_file():
        refuse_split(path, split)
        return [path]
    shards = sorted(path.rglob("*.parquet")) if path.is_dir() else [Path(name) for name in sorted(glob.glob(str(path)))]
    if not shards:
        raise DataError(path, "there are no parquet files", "Name a file, a folder or a glob of shards")
    if not path.is_dir():
        refuse_split(path, split)
        return shards
    splits: dict[str, list[Path]] = {}
    for shard in shards:
        name = shard.stem if not shard.stem.isdigit() else shard.parent.name
        splits.setdefault(name.split("-")[0], []).append(shard)
    if split is None and len(splits) == 1:
        return shards
    chosen = splits[choose_split(path, split, tuple(splits))]
    if len({shard.parent for shard in chosen}) > 1:
        folders = ", ".join(sorted({shard.parent.name for shard in chosen}))
        raise DataError(path, f"it holds several sets ({folders})", "Name the folder of one")
    return chosen


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


class Shards:
    """Row groups of some parquet files, memory mapped, the last few kept. Safe for several threads.

    Args:
        paths: the files, in order.
    """

    def __init__(self, paths: list[Path]):
        self.paths = paths
        self._files = [_open(path) for path in paths]
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

    @property
    def schema(self) -> Any:
        """The arrow schema of the first file."""
        return self._files[0].schema_arrow

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
        return parquet.ParquetFile(path, memory_map=True)
    except (pa.ArrowException, OSError) as error:
        raise _broken(path, error) from None


def _broken(path: Path, error: Exception, group: int | None = None) -> DataError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    record = None if group is None else f"row group {group}"
    return DataError(path, f"this is not a parquet file, or it is broken ({reason})", _REMEDY, record=record)
