"""Ids of pictures that are stored with a name each, or with none."""

from __future__ import annotations

from collections.abc import Sequence

from unpoison.core.images import row_ids
from unpoison.core.notes import Note
from unpoison.data.writer import is_path


def choose_ids(names: Sequence[str | None]) -> tuple[list[str], tuple[Note, ...]]:
    """The names, where every picture has one of its own that is safe as a path; else the rows.

    Absolute paths are another machine's business, and must not become file names on this one.

    Args:
        names: without extension; None where there is none.

    Returns:
        An id for each picture, and what is to be said if names were there and are not used.
    """
    named = [name for name in names if name]
    if len(set(named)) == len(names) and all(map(is_path, named)):
        return named, ()
    what = "pictures called by their row, as not each is stored with a name of its own that can be a path"
    return row_ids(len(names)), (Note(what, len(names)),) if named else ()
