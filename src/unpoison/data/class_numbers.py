"""Names of classes that have none."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unpoison.core.errors import DataError
from unpoison.core.limits import CLASSES


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
