"""The files of published figures: whole, explained, and true to what was read."""

from __future__ import annotations

from itertools import chain
from statistics import fmean

import pytest
from pydantic import ValidationError

from unpoison.classify.defences.methods import METHODS as DEFENCES
from unpoison.classify.methods import METHODS as CLASSIFIERS
from unpoison.poisons.methods import METHODS as ATTACKS
from unpoison.purifiers.methods import METHODS as PURIFIERS
from unpoison.reporting.reference.published import Paper, each_figure, read_papers

PAPERS = {paper.name.split(",")[0]: paper for paper in read_papers()}


@pytest.mark.parametrize("name", PAPERS)
def test_names_are_unpoisons_or_explained(name):
    paper = PAPERS[name]
    for attack in paper.attacks.values():
        assert attack.other or not attack.attack or attack.attack in ATTACKS
    for defence in paper.defences.values():
        assert defence.other or not defence.purify or defence.purify in PURIFIERS
        assert defence.other or not defence.defence or defence.defence in DEFENCES
    models = {table.setting.train.get("model", "resnet18") for table in paper.tables}
    assert models <= set(CLASSIFIERS)
    used = {(figure.attack, figure.defence) for figure in each_figure(paper)}
    assert {defence for _, defence in used} == set(paper.defences)
    assert all(0 <= figure.value <= 100 for figure in each_figure(paper))


def row(paper, table, defence, measure="accuracy"):
    (found,) = (one for one in PAPERS[paper].tables if one.name == table)
    return getattr(found, measure)[defence]


def test_means_of_rows_are_those_that_the_papers_print():
    for defence, mean in (("none", 27.17), ("ueraser", 65.83), ("jpeg", 79.48), ("eclipse", 83.69)):
        assert fmean(row("ECLIPSE", "Table 1, ResNet-18", defence).values()) == pytest.approx(mean, abs=0.006)
    for defence, mean in (("A+B", 74.66), ("B+C", 70.48), ("sparse set of 8 %", 80.75)):
        assert fmean(row("ECLIPSE", "Tables 4 to 7", defence).values()) == pytest.approx(mean, abs=0.006)
    for defence, mean in (("jpeg", 81.2), ("ueraser-max", 88.2), ("at", 71.7)):
        assert fmean(row("APBench", "Leaderboard, ResNet-18", defence).values()) == pytest.approx(mean, abs=0.06)


def test_single_figures():
    assert row("PureGen", "Table 1, from scratch, CIFAR-10", "ebm, 150 steps", "success")["gradient-matching"] == 1
    assert row("PureGen", "Table 1, from scratch, CIFAR-10", "none", "worst") == {"narcissus 8/255, 1 %": 93.59}
    assert row("PureGen", "Tables 4 and 10, 16/255", "reps", "success")["narcissus 16/255, 10 %"] == 53.79
    assert row("DUNE", "CIFAR-10, ResNet-18", "eclipse")["dune"] == 57.5


def test_what_was_remembered_or_noted_by_others_is_unverified():
    tables = list(chain.from_iterable(paper.tables for paper in PAPERS.values()))
    for table in tables:
        assert bool(table.unverified) == any(word in table.source for word in ("memory", "third")) or (
            "Figure" in table.name
        )


def test_a_name_that_the_file_does_not_explain_is_refused():
    table = {"name": "T", "source": "s", "accuracy": {"jpeg": {"lsp": 1.0}}}
    with pytest.raises(ValidationError, match="names lsp"):
        Paper(name="p", paper="p", attacks={}, defences={"jpeg": {"purify": "jpeg"}}, tables=[table])
