"""Paired comparison of columns: what a seed does to all of them does not count."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from unpoison.bench.sections import Attack, Defence
from unpoison.bench.suite import Suite
from unpoison.core.records import Metric, TrialRecord
from unpoison.reporting.grid import make_grid
from unpoison.reporting.paired import Row, detectable_differences, paired_table

SEEDS = [0.0, 0.03, -0.02]  # moves all columns alike
MEANS = {
    "none": {"none": 0.75, "weak": 0.74, "strong": 0.70},
    "lsp": {"none": 0.20, "weak": 0.60, "strong": 0.66},
    "tap": {"none": 0.30, "weak": 0.40, "strong": 0.68},
}


def record(attack: str, defence: str, seed: int, value: float) -> TrialRecord:
    return TrialRecord(
        id="0" * 16,
        suite="s",
        settings={"attack": attack, "defence": defence, "seed": seed},
        inputs={},
        metrics={"accuracy": Metric(value=value, n=1000, low=value, high=value)},
        details={"train_images": 1000, "peak_accuracy": value},
        versions={},
        device="cpu",
        seconds={},
    )


def grid(without=(), seeds=3, means=MEANS):
    suite = Suite(
        name="s",
        sets={"train": "a", "test": "b"},
        attacks={"none": Attack(), **{name: Attack(attack="lsp") for name in ("lsp", "tap", "ar")}},
        defences={"none": Defence(), "weak": Defence(purify="jpeg"), "strong": Defence(purify="fast")},
    )
    return make_grid(
        suite,
        [
            record(attack, defence, seed, mean + SEEDS[seed] + (0.001 if (seed, defence) == (1, "weak") else 0))
            for attack, columns in means.items()
            for defence, mean in columns.items()
            for seed in range(seeds)
            if (attack, defence, seed) not in without
        ],
    )


def test_the_least_significant_difference_of_randomised_blocks():
    values = np.array([[1.0, 2, 4], [3, 5, 5], [2, 2, 6]])
    # by hand: the squares that neither columns nor lines explain add up to 8/3, with 4 degrees of freedom
    left = values - values.mean(0) - values.mean(1)[:, None] + values.mean()
    assert Row(("a", "b", "c"), values).detectable == pytest.approx(2.776 * sqrt(2 * (left**2).sum() / 4 / 3), rel=1e-3)
    shifted = values + np.array([[10.0], [-20], [0]])
    assert Row(("a", "b", "c"), shifted).detectable == pytest.approx(Row(("a", "b", "c"), values).detectable)
    assert Row(("a",), values[:, :1]).detectable is None
    assert Row((), values[:, :0]).detectable is None
    assert Row(("a", "b", "c"), values[:1]).detectable is None


def test_columns_are_told_apart_though_seeds_differ_by_points():
    text = detectable_differences(grid())
    assert text.endswith("none 0.1, lsp 0.1, tap 0.1.\n")
    assert detectable_differences(grid(seeds=1)) == ""


def test_the_best_column_over_all_attacks_stands_first_with_its_cost_and_its_worst():
    lines = paired_table(grid()).splitlines()
    assert lines[2:5] == [
        "| strong | 70.3 (-5.0) | 67.3 (+42.0) | 66.3 (lsp) |",
        "| weak | 74.4 (-1.0) | 50.4 (+25.0) | 40.4 (tap) |",
        "| none | 75.3 (+0.0) | 25.3 (+0.0) | 20.3 (lsp) |",
    ]
    assert lines[5].startswith("| told apart from | 0.1 | 0.1 |")


def test_only_common_trainings_are_ranked():
    assert "weak" not in paired_table(grid(without={("tap", "weak", 2)}))
    twice = paired_table(grid(without={("tap", "none", 2)}))
    assert "| strong | 71.5 (-5.0) | 68.5 (+42.0) | 67.5 (lsp) |" in twice
    assert "over lsp, tap; trainings a cell: 2;" in twice


def test_a_suite_that_is_under_way_is_ranked_by_the_rows_that_it_has():
    means = {**MEANS, "ar": {"none": 0.1, "weak": 0.1, "strong": 0.76}}
    lines = paired_table(grid(seeds=1, means=means)).splitlines()
    assert lines[2] == "| strong | 70.0 (-5.0) | 70.0 (+50.0) | 66.0 (lsp) |"
    assert len(lines) == 7
    assert "told apart" not in "".join(lines)
    assert paired_table(grid(seeds=1)) == ""


def test_a_control_with_a_single_training_is_not_compared():
    once = {("none", defence, seed) for defence in MEANS["none"] for seed in (1, 2)}
    assert paired_table(grid(without=once)) == ""
    assert "none" not in detectable_differences(grid(without=once))
