"""Shards: which files make a set that is stored in several, and which of them make a split."""

from __future__ import annotations

import glob
import re
from itertools import product
from pathlib import Path

from unpoison.core.errors import DataError
from unpoison.core.notes import Note
from unpoison.data.format import choose_split, note_unread, refuse_split
from unpoison.data.safe.plain_files import check_link

_MAX_FILES = 100_000
_NUMBER = re.compile(r"(^|[-_.])\d+(-of-\d+.*)?$")  # what comes after the name of the split: train-00000-of-00002
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def list_shards(path: Path, split: str | None, suffix: str) -> tuple[list[Path], tuple[Note, ...]]:
    """The files of a split: one file, those that match a pattern, or those of a folder.

    In a folder a file belongs to the split that its name (`train-00000-of-00002.parquet`), or its folder, says.

    Args:
        path: file, folder, glob, or a pattern with braces such as `train-{000..003}.tar`.
        split: the split asked for, or None.
        suffix: how the files end, e.g. `.tar`.

    Returns:
        The files in order, and what is to be said of splits that are not read.

    Raises:
        DataError: there are none.
        SettingsError: the files hold no such split.
    """
    if path.is_file():
        refuse_split(path, split)
        return [path], ()
    shards = find_files(path, suffix, deep=True) if path.is_dir() else _match(path)
    for shard in shards:  # they come with each other, as the files of a folder do
        check_link(path if path.is_dir() else shard.parent, shard)
    if not shards:
        raise DataError(path, f"there are no {suffix[1:]} files", "Name a file, a folder or a pattern of shards")
    if not path.is_dir():
        refuse_split(path, split)
        return shards, ()
    splits: dict[str, list[Path]] = {}
    for shard in shards:
        splits.setdefault(_NUMBER.sub("", shard.name[: -len(suffix)]) or shard.parent.name, []).append(shard)
    inside = [entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    beside = sorted(folder.name for folder in inside if not any(shard.is_relative_to(folder) for shard in shards))
    left = (Note.of(f"folders beside the {suffix[1:]} files, left alone", beside),) if beside else ()
    if split is None and len(splits) == 1:
        return shards, left
    name = choose_split(path, split, tuple(splits))
    chosen = splits[name]
    if len({shard.parent for shard in chosen}) > 1:
        folders = ", ".join(sorted({shard.parent.name for shard in chosen}))
        raise DataError(path, f"it holds several sets ({folders})", "Name the folder of one")
    return chosen, left + note_unread(name, [other for other in splits if other != name] if split is None else [])


def find_files(folder: Path, suffix: str, *, deep: bool = False) -> list[Path]:
    """The files in a folder that end in a suffix, in whatever case, in order; `deep` looks into its folders too."""
    found = folder.rglob("*") if deep else folder.glob("*")
    return sorted(path for path in found if path.name.lower().endswith(suffix))


def expand_braces(pattern: str) -> list[str]:
    """All names that a pattern stands for.

    Raises:
        DataError: it stands for more than 100,000.

    >>> expand_braces("{train,test}-{08..10}.tar")[:4]
    ['train-08.tar', 'train-09.tar', 'train-10.tar', 'test-08.tar']
    """
    pieces = _BRACES.split(pattern)  # text, inside of braces, text, ...
    choices = [_choices(piece, pattern) if number % 2 else [piece] for number, piece in enumerate(pieces)]
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > _MAX_FILES:
        raise _too_many(pattern)
    return ["".join(parts) for parts in product(*choices)]


def _choices(inside: str, pattern: str) -> list[str]:
    match = _RANGE.fullmatch(inside)
    if match is None:
        return inside.split(",")
    first, last = int(match[1]), int(match[2])
    if last - first >= _MAX_FILES:
        raise _too_many(pattern)
    return [str(number).zfill(len(match[1])) for number in range(first, last + 1)]


def _too_many(pattern: str) -> DataError:
    return DataError(pattern, f"the pattern stands for over {_MAX_FILES} files", "Name their folder")


def _match(path: Path) -> list[Path]:
    names = expand_braces(str(path))
    if len(names) == 1:
        return [Path(name) for name in sorted(glob.glob(names[0]))]
    found: list[Path] = []
    for name in names:
        matching = sorted(glob.glob(name))
        if not matching:  # braces name each file, so that a missing one is missed
            raise DataError(name, "there is no such file", f"Correct the pattern {path.name}, or fetch the file")
        found += map(Path, matching)
    return found
