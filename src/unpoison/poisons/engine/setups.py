"""The setups of triggerless attacks: one picture to be misread, and the training pictures perturbed for that."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unpoison.core.errors import DataError, SettingsError
from unpoison.core.images import ImageSet
from unpoison.data.safe.unpickle import read_pickle
from unpoison.poisons.protocol import class_number

_KEYS = ("target class", "target index", "base class", "base indices")
_REMEDY = "Take one of the four files in poison_setups of the poisoning benchmark"


@dataclass(frozen=True)
class Setup:
    """One setup of the poisoning benchmark.

    Args:
        target_class: what the target shows.
        target_index: row of the target in its set.
        base_class: what the target is to be taken for.
        base_indices: rows of the training set that are perturbed, each once; all of the base class.
    """

    target_class: int
    target_index: int
    base_class: int
    base_indices: tuple[int, ...]

    def check(self, train_set: ImageSet, target_set: ImageSet) -> None:
        """Refuse sets that the setup was not made for.

        Raises:
            SettingsError: an index lies outside, or a picture is of another class than the setup says.
        """
        last = max(self.base_indices)
        if last >= len(train_set):
            raise SettingsError(
                f"the setup perturbs picture {last}, but {train_set.name} has {len(train_set)}; "
                "give the whole training set, or omit setups"
            )
        if self.target_index >= len(target_set):
            raise SettingsError(
                f"the target is picture {self.target_index}, but {target_set.name} has {len(target_set)}"
            )
        if self.target_class == self.base_class:
            raise SettingsError(f"the target is of class {self.base_class} already; choose another intended class")
        wrong = next((row for row in self.base_indices if train_set.labels[row] != self.base_class), None)
        if wrong is not None:
            raise SettingsError(
                f"picture {wrong} of {train_set.name} is of class {train_set.labels[wrong]}, not {self.base_class} as "
                "the setup says; is the set in its official order?"
            )
        shown = int(target_set.labels[self.target_index])
        if shown != self.target_class:
            raise SettingsError(
                f"picture {self.target_index} of {target_set.name} is of class {shown}, not {self.target_class} as the "
                "setup says; is it the test set, in its official order?"
            )


def read_setups(path: Path) -> list[Setup]:
    """Read a file of setups as the poisoning benchmark publishes them, without running what is in it.

    Two of the published setups name a picture twice; it is kept once.

    Raises:
        DataError: the file holds something else.

    References:
        Schwarzschild et al., Just how toxic is data poisoning?, ICML 2021, https://arxiv.org/abs/2006.12557
    """
    found = read_pickle(path)
    if not isinstance(found, list) or not found:
        raise DataError(path, "this is no list of poison setups", _REMEDY)
    return [_setup(record, path, number) for number, record in enumerate(found)]


def _setup(record: Any, path: Path, number: int) -> Setup:
    if not isinstance(record, dict) or any(key not in record for key in _KEYS):
        raise DataError(path, f"a setup has the keys {', '.join(_KEYS)}", _REMEDY, record=number)
    *single, rows = (record[key] for key in _KEYS)
    try:
        numbers = [operator.index(value) for value in (*single, *rows)]
    except TypeError:
        raise DataError(path, "classes and indices must be whole numbers", _REMEDY, record=number) from None
    if len(numbers) < len(_KEYS) or min(numbers) < 0:
        raise DataError(path, "it names no picture, or a negative number", _REMEDY, record=number)
    target_class, target_index, base_class, *bases = numbers
    return Setup(target_class, target_index, base_class, tuple(dict.fromkeys(bases)))


def draw_setup(
    train_set: ImageSet,
    target_set: ImageSet,
    *,
    poisons: int,
    generator: torch.Generator,
    target_index: int | None = None,
    intended_class: str | None = None,
) -> Setup:
    """A setup of the benchmark's kind: a random target, another class at random, random pictures of that.

    Args:
        train_set: what may be perturbed.
        target_set: what the target is from.
        poisons: pictures to perturb.
        generator: source of all that is drawn.
        target_index: row of the target, if it is not to be drawn.
        intended_class: name or number of what it is to be taken for, if that is not to be drawn.

    Raises:
        SettingsError: there is no such picture or class, or too few pictures to perturb.
    """
    known = np.flatnonzero(target_set.labels >= 0)
    if not len(known):
        raise SettingsError(f"{target_set.name} has no labelled picture to take as the target")
    if target_index is None:
        target_index = int(known[torch.randint(len(known), (1,), generator=generator)])
    elif target_index not in known:
        raise SettingsError(f"target_index={target_index}: {target_set.name} has no labelled picture of that number")
    target_class = int(target_set.labels[target_index])
    if intended_class is None:
        others = [label for label in np.unique(train_set.labels).tolist() if label not in (-1, target_class)]
        if not others:
            raise SettingsError(f"{train_set.name} has no class for the target to be taken for but its own")
        base_class = others[int(torch.randint(len(others), (1,), generator=generator))]
    else:
        base_class = class_number(train_set, intended_class)
    rows = np.flatnonzero(train_set.labels == base_class)
    if len(rows) < poisons:
        raise SettingsError(
            f"poisons={poisons}, but {train_set.name} has {len(rows)} pictures of {train_set.class_names[base_class]}"
        )
    chosen = rows[torch.randperm(len(rows), generator=generator)[:poisons].numpy()]
    return Setup(target_class, target_index, base_class, tuple(np.sort(chosen).tolist()))


def split_classes(labels: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the first pictures of every class, and all other rows, both ascending: the split of Bullseye Polytope.

    Labels are [N]. There, the first 4,800 of each class train the bodies, and of the other 200 the victim transfers on
    the first 50.
    """
    taken = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        taken[np.flatnonzero(labels == label)[:first]] = True
    return np.flatnonzero(taken), np.flatnonzero(~taken)
