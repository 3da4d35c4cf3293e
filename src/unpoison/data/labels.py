"""Labels as people store them: whole numbers, names of classes, or what no reader of ours understands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unpoison.core.errors import DataError
from unpoison.core.notes import Note
from unpoison.data.class_names import name_classes

# What labels are called, the likeliest first.
LABEL_NAMES = ("labels", "label", "targets", "target", "y", "class", "classes", "cls")
_LIMIT = 2**62


@dataclass(frozen=True)
class Labels:
    """Labels of a set, understood.

    Args:
        numbers: [N] int64 class indices; -1 where unknown.
        class_names: name of each class.
        notes: what was not understood.
    """

    numbers: np.ndarray
    class_names: Sequence[str]
    notes: tuple[Note, ...] = ()


def read_labels(
    path: Path,
    values: Iterable[Any],
    *,
    class_names: Sequence[str] | None = None,
    name_row: Callable[[int], str] = str,
) -> Labels:
    """Make class indices of stored labels. Purifying needs none, so that what is not understood becomes unknown.

    Whole numbers, also as floats, are class indices. Where there are none, texts are names of classes, which are
    sorted, 2 before 10. None is unknown. All else, such as lists of several labels, is unknown too, and a note says so.

    Args:
        path: of the file, for errors.
        values: the labels, one for each picture.
        class_names: names of the classes, if the file gives them.
        name_row: what a row is called, for the note.

    Raises:
        DataError: a number is far too large for a class.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        _check_range(path, values.tolist() if values.dtype == np.uint64 else (), name_row)
        numbers = values.astype(np.int64)
        return Labels(numbers, name_classes(path, numbers) if class_names is None else class_names)
    known = [_plain(value) for value in values]
    numbers = np.full(len(known), -1, np.int64)
    kinds = {type(value) for value in known}
    wanted = str if str in kinds and int not in kinds else int
    names = class_names
    if wanted is int:
        _check_range(path, known, name_row)
        for row, value in enumerate(known):
            if type(value) is int:
                numbers[row] = value
        names = name_classes(path, numbers) if names is None else names
    else:
        if names is None:
            names = sorted({value for value in known if isinstance(value, str)}, key=_by_number)
        index = {name: number for number, name in enumerate(names)}
        for row, value in enumerate(known):
            if isinstance(value, str):
                numbers[row] = index.get(value, -1)
    unread = [row for row, value in enumerate(known) if numbers[row] == -1 and type(value) not in (type(None), int)]
    if not unread:
        return Labels(numbers, names)
    first = known[unread[0]]
    kind = f"'{first[:40]}'" if isinstance(first, str) else type(first).__name__
    what = f"labels that are no class but {kind}, taken as unknown"
    return Labels(numbers, names, (Note.of(what, map(name_row, unread)),))


def _by_number(name: str) -> tuple[bool, int, str]:
    """Sorts names that are numbers as numbers, before the others."""
    is_number = name.isascii() and name.isdigit() and len(name) < 19
    return not is_number, int(name) if is_number else 0, name


def _check_range(path: Path, values: Iterable[Any], name_row: Callable[[int], str]) -> None:
    """Refuse numbers that do not fit into 64 bits, and would become others."""
    for row, value in enumerate(values):
        if type(value) is int and not -_LIMIT <= value < _LIMIT:
            problem = f"label {str(value)[:40]} is no number of a class"
            raise DataError(path, problem, "Correct the label", record=name_row(row))


def _plain(value: Any) -> Any:
    """NumPy's scalars as Python's, and whole floats as whole numbers, as pandas stores numbers beside gaps."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return None if value != value else int(value) if value.is_integer() else value
    return value
