"""The change of the pictures in a run, for its manifest: how much, and what is unusual in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from unpoison.core.images import ImageSet
from unpoison.runs.measuring import Change

_LARGEST = 16
_UNUSUAL = 32
_OF_CLASS = 3  # at least, of the classes of a set that has few enough
_CLASSES = 20
_TYPICAL = 8
_QUANTILES = (0.05, 0.5, 0.95)
_ROUNDING = 0.5  # levels; plain pictures have next to no texture, and no logarithm
_TIMES = 20  # that the fit is weighted anew
_FAR = 1.345  # standard deviations beyond which a picture counts less in the fit


def change_facts(image_set: ImageSet, changes: Sequence[Change]) -> dict[str, Any]:
    """What a manifest says of the changes: mean, quantiles, classes that have pictures, and some pictures by name.

    A picture's fine change depends most on how much texture it has. `unusual` compares it with what is usual for its
    texture in this set, as a fit tells that outliers do not bend; `ratio` is the one over the other.

    Args:
        image_set: the source.
        changes: of each picture.

    Returns:
        `{"change_255": {"mean": ..., "quantiles": {"0.05": ..., "0.5": ..., "0.95": ...}, "per_class": {class: mean},
        "largest": {id: change, ...}, "unusual": {"explained": share of the differences between pictures that the fit
        explains, "quantiles": of the ratios, "per_class": {class: mean ratio}, "pictures": {id: {"ratio": ...,
        "fine": ..., "usual": ...}, ...}, "typical": the same of some pictures whose change is as usual}}}`; `largest`
        and `pictures` with the highest first.
    """
    measured = np.array(changes, np.float64).reshape(-1, 3)
    change, fine, texture = measured.T
    usual, explained = _usual(fine, texture)
    ratio = (fine + _ROUNDING) / (usual + _ROUNDING)
    most = _most(ratio, image_set.labels)
    nearest = np.argsort(abs(np.log(ratio)), kind="stable")
    typical = np.sort(nearest[~np.isin(nearest, most)][:_TYPICAL])

    def named(rows: Sequence[int] | np.ndarray) -> dict[str, dict[str, float]]:
        told = {"ratio": ratio, "fine": fine, "usual": usual}
        return {image_set.ids[row]: {key: _rounded(values[row]) for key, values in told.items()} for row in rows}

    return {
        "change_255": {
            "mean": _rounded(change.mean()),
            "quantiles": _quantiles(change),
            "per_class": _per_class(image_set, change),
            "largest": {
                image_set.ids[row]: _rounded(change[row]) for row in np.argsort(-change, kind="stable")[:_LARGEST]
            },
            "unusual": {
                "explained": _rounded(explained),
                "quantiles": _quantiles(ratio),
                "per_class": _per_class(image_set, ratio),
                "pictures": named(most),
                "typical": named(typical),
            },
        }
    }


def _usual(fine: np.ndarray, texture: np.ndarray) -> tuple[np.ndarray, float]:
    """[N] levels: the fine change that is usual for the texture, and which share of the variance it explains.

    Logarithms are fitted by a parabola with Huber's weights.
    """
    values, known = np.log(fine + _ROUNDING), np.log(texture + _ROUNDING)
    terms = np.stack([np.ones_like(known), known, known**2], axis=1)
    weights = np.ones_like(known)
    for _ in range(_TIMES):
        root = np.sqrt(weights)
        coefficients = np.linalg.lstsq(terms * root[:, None], values * root, rcond=None)[0]
        errors = values - terms @ coefficients
        spread = max(1.4826 * float(np.median(abs(errors))), 1e-6)
        weights = np.minimum(1, _FAR * spread / np.maximum(abs(errors), 1e-12))
    usual = np.maximum(np.exp(values - errors) - _ROUNDING, 0)
    return usual, float(np.clip(1 - errors.var() / max(values.var(), 1e-12), 0, 1))


def _most(ratio: np.ndarray, labels: np.ndarray) -> list[int]:
    """Rows of the largest ratios, largest first, with some of each class where classes are few."""
    order = np.argsort(-ratio, kind="stable")
    of_class = _OF_CLASS if len(np.unique(labels)) <= _CLASSES else 0
    taken: Counter[int] = Counter()
    chosen = []
    for place, row in enumerate(order.tolist()):
        if place < _UNUSUAL or taken[labels[row]] < of_class:
            chosen.append(row)
            taken[labels[row]] += 1
    return chosen


def _quantiles(values: np.ndarray) -> dict[str, float]:
    return {f"{share:g}": _rounded(np.quantile(values, share)) for share in _QUANTILES}


def _per_class(image_set: ImageSet, values: np.ndarray) -> dict[str, float]:
    """Mean over each class that has pictures."""
    labelled = image_set.labels >= 0
    labels = image_set.labels[labelled]
    counts, sums = np.bincount(labels), np.bincount(labels, values[labelled])
    return {image_set.distinct_names[label]: _rounded(sums[label] / counts[label]) for label in np.flatnonzero(counts)}


def _rounded(value: float) -> float:
    return round(float(value), 3)
