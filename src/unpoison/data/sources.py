"""Sources as a user writes them: a path, with `#split` and `[start:stop]` after it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from unpoison.core.errors import DataError
from unpoison.core.manifest import Step, manifest_path, read_manifest
from unpoison.core.notes import Note, tell

_ROWS = re.compile(r"(.*?)(?:\[(-?\d*):(-?\d*)\])?", re.DOTALL)
_SPLIT = re.compile(r"[\w-]+")


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

    After what exists any `#name` is a split, as sets in a tree are named by their path in it.

    >>> parse_source("cifar#test[:2000]")
    Source(path=PosixPath('cifar'), split='test', rows=slice(None, 2000, None))
    """
    text = str(source)
    match = _ROWS.fullmatch(text)
    if match is None or Path(text).exists():
        return Source(Path(text), None, slice(None))
    named = match[1]
    rows = slice(*(int(end) if end else None for end in match.group(2, 3)))
    path, mark, split = named.rpartition("#")
    if mark and path and not Path(named).exists() and (_SPLIT.fullmatch(split) or Path(path).exists()):
        return Source(Path(path), split, rows)
    return Source(Path(named), None, rows)


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
