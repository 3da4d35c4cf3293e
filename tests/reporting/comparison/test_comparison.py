"""A suite beside published figures: counterparts are found, and every difference in the setting is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from unpoison.reporting.comparison.differences import is_same
from unpoison.reporting.comparison.matching import compare, is_counterpart
from unpoison.reporting.comparison.tables import comparison_json, comparison_page, comparison_text
from unpoison.reporting.grid import read_grid
from unpoison.reporting.reference.published import each_figure, read_papers

RESULTS = Path(__file__).parents[3] / "results"


@pytest.fixture(scope="module")
def eclipse():
    return compare(read_grid(RESULTS / "cifar10-eclipse"))


def find(comparison, paper, row, column, measure="accuracy"):
    return [
        pair
        for pair in comparison.pairs
        if pair.figure.paper.name.startswith(paper)
        and (pair.ours.row, pair.ours.column, pair.figure.measure) == (row, column, measure)
    ]


def test_a_counterpart_and_its_differences(eclipse):
    (pair,) = find(eclipse, "Image Shortcut", "lsp", "jpeg-10")
    assert pair.figure.value == 83.01
    assert pair.gap == pytest.approx(100 * pair.metric.value - 83.01)
    assert {
        "10,000 training pictures, not 50,000",
        "8,000 test pictures, not 10,000",
        "epochs 15, not 60",
        "width 16, not 64",
        "best epoch, not the last",
    } <= set(pair.differences)
    assert not any(one.startswith("poison: ") for one in pair.differences)  # LSP is at full strength


def test_variants_of_a_defence_are_told_apart(eclipse):
    assert [pair.figure.value for pair in find(eclipse, "ECLIPSE", "lsp", "B+C")] == [80.08]
    assert [pair.figure.value for pair in find(eclipse, "ECLIPSE", "urp", "A")] == [86.86]
    values = [pair.figure.value for pair in find(eclipse, "ECLIPSE", "urp", "A+B+C")]
    assert values == [86.98]  # neither other t nor other sizes of the clean set
    fit = find(eclipse, "ECLIPSE", "urp", "A")[0].differences
    assert "fit: iterations 3000, not 250000" in fit
    assert "network: one that the suite fitted, not a UNet of 52.5 million parameters" in fit


def test_none_is_left_out_because_it_disagrees(eclipse):
    assert max(abs(pair.gap) for pair in eclipse.pairs) > 50  # URP does little harm here
    assert ("none", "B+C") in eclipse.alone
    text = comparison_text(eclipse)
    assert "Nothing is published here for: none / B+C." in text
    assert "+57.6" in text


def test_what_is_not_verified_says_so(eclipse):
    unverified = [pair for pair in eclipse.pairs if pair.figure.table.unverified]
    assert unverified
    assert "Unverified: read off the bars of a figure" in comparison_text(eclipse)
    facts = comparison_json(eclipse)["compared"]
    assert sum(bool(one["unverified"]) for one in facts) == len(unverified)


def test_success_of_targeted_attacks_with_the_profile_of_the_poison():
    comparison = compare(read_grid(RESULTS / "puregen"))
    pairs = find(comparison, "PureGen", "narcissus", "none", "success")
    assert pairs
    assert all(pair.figure.attack == "narcissus 16/255, 1 %" for pair in pairs)
    assert all("poison: rounds 60, not 1000" in pair.differences for pair in pairs)
    assert find(comparison, "PureGen", "narcissus", "none", "worst")
    linear = compare(read_grid(RESULTS / "bullseye"))
    assert {pair.figure.setting.train["mode"] for pair in linear.pairs} == {"linear"}


def test_the_page_is_whole(eclipse):
    shown = comparison_page(eclipse)
    assert shown.count("<h2>") == len({id(pair.figure.table) for pair in eclipse.pairs})
    assert "&lt;" not in shown
    assert "<script" not in shown


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [("8/255", "8/255", True), ("16/255", "8/255", False), (1, 1.0, True), (20, "?", True), (None, 5, False)],
)
def test_values_are_compared_by_what_they_mean(ours, theirs, same):
    assert is_same(ours, theirs) is same


def test_defences_at_train_time_are_told_apart(eclipse):
    """The cells of a suite, as if a defence had stood in the training of one column or another."""
    ours = find(eclipse, "ECLIPSE", "lsp", "none")[0].ours
    epic = {"epic": {"fraction": 0.1, "warm_up": 5, "every": 2}}
    papers = {paper.name: paper for paper in read_papers()}

    def counterparts(covers=False, **train):
        record = ours.record.model_copy(update={"settings": {**ours.record.settings, "train": {**ours.train, **train}}})
        cell = replace(ours, record=record, covers=covers)
        figures = [figure for paper in papers.values() for figure in each_figure(paper)]
        return {
            name
            for figure in figures
            for name in [figure.defence]
            if figure.of_attack.attack == "lsp" and is_counterpart(cell, figure)
        }

    assert {"none"} == counterparts()
    assert {"cutout"} == counterparts(covers=True)
    assert {"ueraser-max"} == counterparts(defence={"ueraser-max": {}})
    assert "mixup" in counterparts(defence={"mixup": {}})
    assert counterparts(defence=epic) == set()  # none of the papers has it against LSP
