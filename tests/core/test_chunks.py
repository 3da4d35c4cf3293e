"""Rows that stand for a set are spread over its classes."""

from __future__ import annotations

import numpy as np
import pytest

from unpoison.core.chunks import spread_rows


@pytest.mark.parametrize(
    ("sizes", "count", "expected"),
    [
        ([100, 100], 16, [8, 8]),
        ([100, 1, 3], 16, [12, 1, 3]),
        ([5, 5, 5, 5], 2, [0, 1, 0, 1]),
        ([2, 1], 16, [2, 1]),
        ([0, 7], 3, [0, 3]),
    ],
)
def test_rows_are_spread_over_the_classes(sizes, count, expected):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = spread_rows(labels, count)
    assert len(set(rows)) == len(rows)
    assert np.bincount(labels[rows], minlength=len(sizes)).tolist() == expected


def test_rows_without_classes_are_spread_evenly():
    assert spread_rows(np.full(100, -1), 4) == [12, 37, 62, 87]
    assert spread_rows(np.zeros(0, int), 4) == []
