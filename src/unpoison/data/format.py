"""The interface of a format: recognising a source, reading it, and perhaps writing it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.notes import Note
from unpoison.data.writer import Writer


@dataclass(frozen=True)
class Format:
    """One format.

    Args:
        claims: whether a path looks like this format; reads little, opens no picture.
        read: reads a path; the second argument is the split asked for, or None.
        writer: writes it, if we write it.
    """

    claims: Callable[[Path], bool]
    read: Callable[[Path, str | None], ImageSet]
    writer: type[Writer] | None = None


def is_file(path: Path, *suffixes: str) -> bool:
    """Whether a path is a file that ends in one of the suffixes, in whatever case."""
    return path.suffix.lower() in suffixes and path.is_file()


def refuse_split(path: Path, split: str | None) -> None:
    """For formats that hold one set only.

    Raises:
        SettingsError: a split was asked for.
    """
    if split is not None:
        raise SettingsError(f"{path} holds one set and no split '{split}'; omit '#{split}'")


def choose_split(path: Path, split: str | None, splits: tuple[str, ...]) -> str:
    """The split asked for, `train` if none was.

    Raises:
        SettingsError: there is no such split.
    """
    split = "train" if split is None else split
    if split not in splits:
        raise SettingsError(f"{path} has no split '{split}'; choose from {', '.join(splits)}")
    return split


def note_unread(chosen: str, others: Sequence[str]) -> tuple[Note, ...]:
    """What is to be said of the splits beside one that was chosen for the user."""
    return (Note.of(f"splits beside {chosen}, not read; SRC#NAME reads one", others),) if others else ()
