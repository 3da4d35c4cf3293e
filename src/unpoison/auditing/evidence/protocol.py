"""Evidence: what one kind of measurement says of a set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Evidence:
    """What one kind of measurement says of a set.

    Args:
        values: numbers of the set by name; higher is more like a poison.
        images: [N] float32, a score for each picture, higher is more like a poisoned one; None if it has none.
        classes: [K] float32, the same for each class; None if it has none.
    """

    values: Mapping[str, float]
    images: np.ndarray | None = None
    classes: np.ndarray | None = None
