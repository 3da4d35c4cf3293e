"""Names of classes: those of CIFAR-10, numbers for classes that have none, and labels in messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unpoison.core.errors import DataError
from unpoison.core.limits import CLASSES

DIGITS = tuple("0123456789")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def name_classes(path: Path, labels: np.ndarray) -> list[str]:
    """`0`, `1`, ... up to the largest label.

    Args:
        path: file name for the error.
        labels: [N] class indices; -1 where unknown.

    Raises:
        DataError: a label so large that no set has as many classes; naming them all would eat the memory.
    """
    largest = int(labels.max(initial=-1))
    if largest >= CLASSES:
        record = int(labels.argmax())
        raise DataError(path, f"label {largest} is no number of a class", "Correct the label", record=record)
    return [str(label) for label in range(largest + 1)]


def show_label(label: Any) -> str:
    """A stranger's label for a message: the number, or its type, as its text may be of any length."""
    if isinstance(label, (int, np.integer)) and abs(int(label)) < 2**63:  # Python spells no endless numbers out
        return str(label)
    return f"({type(label).__name__})"
