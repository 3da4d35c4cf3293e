"""Notes on what happened to a set on its way in or out: a line for people, a count for records."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from unpoison.core.errors import show_control

_SHOWN = 3


class DataWarning(Warning):
    """Something of a set was left out, numbered anew or read in another way than its files say."""


@dataclass(frozen=True)
class Note:
    """One such thing.

    Args:
        what: what happened, without the set's name, e.g. `files that are no pictures, left alone`.
        count: how often.
        examples: names of the first few.
    """

    what: str
    count: int
    examples: tuple[str, ...] = ()

    @classmethod
    def of(cls, what: str, names: Iterable[str]) -> Note:
        """A note on things that have names."""
        names = list(names)
        return cls(what, len(names), tuple(names[:_SHOWN]))

    def __str__(self) -> str:
        if not self.examples:
            return f"{self.what}: {self.count}"
        more = ", ..." if self.count > len(self.examples) else ""
        return f"{self.what}: {self.count} ({', '.join(self.examples)}{more})"


def tell(name: str, notes: Iterable[Note]) -> None:
    """Warn of what happened to a set, a line for each note."""
    for note in notes:
        warnings.warn(show_control(f"{name}: {note}"), DataWarning, stacklevel=3)


def count_notes(notes: Iterable[Note]) -> dict[str, int]:
    """The counts, for a manifest."""
    return {note.what: note.count for note in notes}
