"""The change of the pictures in a run, for its manifest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unpoison.core.images import ImageSet

_LARGEST = 16
_QUANTILES = (0.05, 0.5, 0.95)


def change_facts(image_set: ImageSet, changes_255: Sequence[float]) -> dict[str, Any]:
    """The mean change, quantiles, the mean of each class that has pictures, and the most changed pictures.

    Args:
        image_set: the source.
        changes_255: per picture its root mean square change, in 8-bit levels.

    Returns:
        `{"change_255": {"mean": ..., "quantiles": {"0.05": ..., "0.5": ..., "0.95": ...}, "per_class": {class: mean},
        "largest": {id: change, ...}}}`, largest first.
    """
    changes = np.array(changes_255, np.float64)
    present = sorted(set(image_set.labels.tolist()) - {-1})
    largest = np.argsort(-changes, kind="stable")[:_LARGEST]
    return {
        "change_255": {
            "mean": _rounded(changes.mean()),
            "quantiles": {f"{share:g}": _rounded(np.quantile(changes, share)) for share in _QUANTILES},
            "per_class": {
                image_set.distinct_names[label]: _rounded(changes[image_set.labels == label].mean())
                for label in present
            },
            "largest": {image_set.ids[row]: _rounded(changes[row]) for row in largest},
        }
    }


def _rounded(value: float) -> float:
    return round(float(value), 3)
