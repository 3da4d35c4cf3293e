"""Classes of two sets, matched by name. This is the one place that does it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unpoison.core.derived import Relabelled
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.notes import Note, tell

_SHOWN = 5


def match_labels(
    labels: np.ndarray, names: Sequence[str], wanted: Sequence[str], *, name: str, wanted_by: str
) -> np.ndarray:
    """Labels of one set in the numbers of another.

    Names that are all numbers say nothing, so that such a set is matched by number, and a warning says so.

    Args:
        labels: [N] class indices of `names`; -1 where unknown.
        names: the set's own names.
        wanted: the other's names; may hold more classes than `names`.
        name: of the set, for the message.
        wanted_by: whose names `wanted` are.

    Returns:
        [N] class indices of `wanted`; -1 where unknown.

    Raises:
        SettingsError: a picture's class is not among them, or a name stands for several classes.

    >>> match_labels(np.array([0, 1]), ["cat", "emu"], ["cat", "dog", "emu"], name="test", wanted_by="train")
    array([0, 2])
    """
    present = [names[label] for label in np.unique(labels[labels >= 0])]
    if tuple(names) == tuple(wanted) or not present:
        return labels
    strange = [class_name for class_name in present if class_name not in wanted]
    # Numbers without names may leave out the last classes, a folder any class: then its numbers mean something else.
    nameless = (_are_numbers(names) and len(names) <= len(wanted)) or (
        _are_numbers(wanted) and len(names) == len(wanted)
    )
    if strange and nameless:
        what = f"classes matched by number with those of {wanted_by}, as one of the two names none"
        tell(name, [Note(what, len(present))])
        return labels
    if strange:
        raise SettingsError(
            f"{name} has pictures of {list_names(strange)}, but the classes of {wanted_by} are {list_names(wanted)}; "
            "classes are matched by name: take a set of the same classes, or rename them"
        )
    twins = [class_name for class_name in present if names.count(class_name) + wanted.count(class_name) > 2]
    if twins:
        raise SettingsError(f"'{twins[0]}' names several classes of {name} or {wanted_by}; give each a name of its own")
    index = {class_name: number for number, class_name in enumerate(wanted)}
    numbers = np.array([*(index.get(class_name, -1) for class_name in names), -1], np.int64)  # the last is for -1
    numbered: np.ndarray = numbers[labels]
    return numbered


def match_classes(image_set: ImageSet, wanted: Sequence[str], *, wanted_by: str) -> ImageSet:
    """A set with its classes numbered like those of another; itself, if they are.

    Args:
        image_set: any set.
        wanted: names of the other's classes.
        wanted_by: whose they are, for the message.

    Raises:
        SettingsError: as for `match_labels`.
    """
    if image_set.class_names == tuple(wanted):
        return image_set
    labels = match_labels(image_set.labels, image_set.class_names, wanted, name=image_set.name, wanted_by=wanted_by)
    return Relabelled(image_set, labels, wanted)


def list_names(names: Sequence[str]) -> str:
    """The first few names of classes, for a message."""
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown}, ... ({len(names)} in all)"


def _are_numbers(names: Sequence[str]) -> bool:
    """Whether the names are those of a set that has none: 0, 1, ..."""
    return list(names) == [str(number) for number in range(len(names))]
