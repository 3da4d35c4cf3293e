"""What a user may write for a source: a path, with `#split` and `[start:stop]` after it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from unpoison.core.errors import DataError
from unpoison.core.manifest import Step, manifest_path, read_manifest
from unpoison.core.notes import Note, tell

_PARTS = re.compile(r"(?P<path>.*?)(?:#(?P<split>[\w-]+))?(?:\[(?P<start>-?\d*):(?P<stop>-?\d*)\])?")


@dataclass(frozen=True)
class Source:
    """A source, taken apart.

    Args:
        path: file, folder, glob of shards, or a name such as `digits`.
        split: part of a set that holds several, e.g. `test`.
        rows: which rows are wanted.
    """

    path: Path
    split: str | None
    rows: slice


def parse_source(source: str | PathLike[str]) -> Source:
    """Take a source apart. What exists under the whole name is that path, whatever characters are in it.

    After a folder that exists any `#name` is a split, as sets in a tree are named by their path in it.

    >>> parse_source("cifar#test[:2000]")
    Source(path=PosixPath('cifar'), split='test', rows=slice(None, 2000, None))
    """
    text = str(source)
    match = _PARTS.fullmatch(text)
    if match is None or Path(text).exists():
        return Source(Path(text), None, slice(None))
    start, stop = (int(match[part]) if match[part] else None for part in ("start", "stop"))
    folder, _, name = match["path"].rpartition("#")
    if match["split"] is None and folder and Path(folder).is_dir():
        return Source(Path(folder), name, slice(start, stop))
    return Source(Path(match["path"]), match["split"], slice(start, stop))


def read_history(source: str | PathLike[str]) -> list[Step]:
    """The steps that made a set, if a manifest lies with it; a part of a set has no history of its own.

    A file of that name which is no manifest of ours is none: it came with the set, and a warning says so.
    """
    asked = parse_source(source)
    path = manifest_path(asked.path)
    if asked.split or asked.rows != slice(None) or not path.is_file():
        return []
    try:
        return read_manifest(path).steps
    except DataError:
        what = "not a manifest of unpoison, so that what was done to the set before is not known"
        tell(asked.path.name, [Note.of(what, [path.name])])
        return []
