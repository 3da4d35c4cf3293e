"""Folders that Hugging Face's `save_to_disk` wrote: arrow files in the Hub's image layout, and JSON that names them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unpoison.core.errors import DataError, UnsafeFileError, require
from unpoison.core.images import ImageSet, check_count
from unpoison.core.limits import TEXT_BYTES
from unpoison.data.format import Format, choose_split, refuse_split
from unpoison.data.formats.parquet_shards import RowGroup
from unpoison.data.formats.picture_table import read_tables
from unpoison.data.safe.arrow_messages import is_compressed
from unpoison.data.safe.plain_files import open_plain, read_plain
from unpoison.data.writer import is_path

_STATE, _SPLITS = "state.json", "dataset_dict.json"
_REMEDY = "Save the set again with save_to_disk"


class ArrowFiles:
    """Record batches of some arrow streams, memory mapped. Satisfies `Tables`.

    Args:
        paths: the files, in order.
    """

    def __init__(self, paths: list[Path]):
        self.paths = paths
        self._batches: dict[RowGroup, Any] = {}
        self.rows = 0
        self.schemas: list[Any] = []
        for shard, path in enumerate(paths):
            schema, batches = _read_batches(path)
            self.schemas.append(schema)
            for number, batch in enumerate(batches):
                if not batch.schema.equals(self.schemas[0]):
                    raise DataError(path, f"its columns are not those of {paths[0].name}", _REMEDY)
                self._batches[RowGroup(shard, number, self.rows, batch.num_rows)] = batch
                self.rows += batch.num_rows
        check_count(paths[0].name if paths else "arrow files", self.rows)
        self.groups = list(self._batches)
        if not self.rows:
            raise DataError(paths[0] if paths else "arrow files", "there are no rows", _REMEDY)

    def __reduce__(self) -> tuple[Any, ...]:
        return ArrowFiles, (self.paths,)  # mapped files do not travel to the workers of a loader

    def column(self, group: RowGroup, name: str) -> Any:
        """One column of a batch, as an arrow array."""
        return self._batches[group].column(name)


def read_arrow_folder(path: Path, split: str | None) -> ImageSet:
    """Read a saved `Dataset`, or a split of a saved `DatasetDict`.

    Raises:
        DataError: a file is broken, or holds no pictures.
        UnsafeFileError: the folder names files outside of itself.
    """
    folder = path
    if (path / _SPLITS).is_file():
        folder = path / choose_split(path, split, tuple(_read_names(path / _SPLITS, "splits")))
    else:
        refuse_split(path, split)
    tables = ArrowFiles([folder / name for name in _read_names(folder / _STATE, "_data_files")])
    image_set = read_tables(path, tables)
    image_set.format = "arrow"
    return image_set


def _read_batches(path: Path) -> tuple[Any, list[Any]]:
    """The schema of a file and its batches."""
    pa = require("pyarrow", extra="parquet", purpose="reading arrow files")
    open_plain(path).close()  # nothing but a file may be opened
    try:
        if any(map(is_compressed, pa.ipc.MessageReader.open_stream(pa.memory_map(str(path))))):
            raise DataError(path, "it is compressed, as save_to_disk never writes", _REMEDY)
        with pa.ipc.open_stream(pa.memory_map(str(path))) as stream:
            schema, batches = stream.schema, list(stream)
        for batch in batches:
            batch.validate(full=True)  # otherwise a wrong offset inside would read any memory of ours
        return schema, batches
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(path, f"this is not an arrow file, or it is broken ({reason})", _REMEDY) from None


def _read_names(path: Path, key: str) -> list[str]:
    """Names of files or folders that a JSON file lists, once they are known to lie beside it."""
    try:
        entries = json.loads(read_plain(path, TEXT_BYTES))[key]
        names = [entry["filename"] if isinstance(entry, dict) else str(entry) for entry in entries]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise DataError(path, f"it lists no '{key}' as save_to_disk does", _REMEDY) from None
    for name in names:
        if not isinstance(name, str) or "/" in name or not is_path(name):
            raise UnsafeFileError(path, f"it names {name!r}, which is no file of this folder", _REMEDY)
    return names


def _claims(path: Path) -> bool:
    return (path / _STATE).is_file() or (path / _SPLITS).is_file()


FORMAT = Format(claims=_claims, read=read_arrow_folder)
