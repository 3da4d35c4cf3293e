"""Pictures on a page: how large, in which part, and on which scale what changed is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from unpoison.reporting.panels import full_scale, gallery, panel, show_unusual
from unpoison.runs.preview import Example


def _example(height: int, width: int, change: np.ndarray | int = 6) -> Example:
    before = np.random.default_rng(0).integers(50, 200, (height, width, 3), dtype=np.uint8)
    return Example("a/1", "a", before, (before + change).astype(np.uint8))


@pytest.mark.parametrize(
    ("size", "zoom", "note"),
    [((32, 32), 4, ""), ((64, 40), 2, ""), ((224, 224), 1, ""), ((768, 100), 1, "the middle 100x224 of 100x768")],
)
def test_small_pictures_are_enlarged_and_large_ones_cut(size, zoom, note):
    example = _example(*size)
    one = panel(example)
    assert (one.zoom, one.note) == (zoom, note)
    assert one.change.all_255 == pytest.approx(6)
    middle = (size[0] - one.example.before.shape[0]) // 2
    assert np.array_equal(one.example.before[0], example.before[middle])
    assert one.example.before.base is None or one.example.before.base.size <= 3 * 224 * 224


def test_a_change_is_the_sum_of_its_parts():
    change = np.random.default_rng(1).integers(-40, 41, (20, 30, 3))
    fine, smooth = panel(_example(20, 30, change)).parts
    assert np.allclose(fine + smooth, change)
    assert smooth.std() < change.std() / 4
    assert smooth.mean() == pytest.approx(change.mean(), abs=1)


def test_one_scale_holds_all_but_a_hundredth():
    quiet, loud = (panel(_example(32, 32, change)) for change in (1, 40))
    assert full_scale([quiet]) == 1
    assert full_scale([quiet, loud]) == 40
    spike = np.zeros((32, 32, 3), int)
    spike[3, 4] = 50
    assert full_scale([panel(_example(32, 32, spike))]) < 5  # a pixel of a thousand does not dim the others
    assert full_scale([]) == 1


def test_names_are_text():
    one = panel(Example('"><script>', "<b>", *np.zeros((2, 4, 4, 3), np.uint8)))
    text = gallery([one], scale=1)
    assert "<script>" not in text
    assert "<b>" not in text.replace("<b>0.0</b>", "")
    assert "&quot;&gt;&lt;script&gt;" in text


@pytest.mark.parametrize(("ratio", "shown"), [(1.374, "+37"), (1.001, "0"), (0.9, "\u221210"), (3.2, "+220")])
def test_percent_have_signs(ratio, shown):
    assert show_unusual(ratio) == f"{shown}\u00a0%"
