"""Published figures and their counterparts in a suite, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from unpoison.core.records import Metric
from unpoison.reporting.comparison.cells import OurCell, compensation_of, our_cells
from unpoison.reporting.comparison.differences import is_same, list_differences
from unpoison.reporting.grid import Grid
from unpoison.reporting.reference.published import Figure, Measure, Paper, each_figure, read_papers

_MEASURES: tuple[Measure, ...] = ("accuracy", "success", "worst")


@dataclass(frozen=True)
class Pair:
    """A published figure and ours.

    Args:
        figure: the published one.
        ours: the cell that is its counterpart.
        metric: our figure, a share with its interval.
        differences: in which the settings differ.
    """

    figure: Figure
    ours: OurCell
    metric: Metric
    differences: Sequence[str]

    @property
    def gap(self) -> float:
        """Ours less the published one, in points."""
        return 100 * self.metric.value - self.figure.value


@dataclass(frozen=True)
class Comparison:
    """A suite beside the literature.

    Args:
        title: of the suite.
        pairs: figures that both have, paper by paper in the order of their tables.
        alone: rows and columns of the suite's cells for which nothing is published here.
        published: how many published figures there are.
    """

    title: str
    pairs: Sequence[Pair]
    alone: Sequence[tuple[str, str]]
    published: int


def compare(grid: Grid, papers: Sequence[Paper] | None = None) -> Comparison:
    """Hold every cell of a suite against each paper that has a counterpart.

    A counterpart has the same attack, the same defence with the fields that make it what it is, and the same way of
    training: from scratch, linear or fine-tuned. Where a paper has several, for instance of other networks, those
    nearest in data set, network, strength of the poison and fit are taken. None is left out for what it says.

    Args:
        grid: the suite.
        papers: with published figures; all that come with unpoison if left out.
    """
    papers = read_papers() if papers is None else papers
    cells = our_cells(grid)
    pairs: list[Pair] = []
    published = 0
    for paper in papers:
        figures = list(each_figure(paper))
        published += len(figures)
        found = [pair for cell in cells for measure in _MEASURES for pair in _pairs(cell, measure, figures)]
        pairs += sorted(found, key=lambda pair: figures.index(pair.figure))
    compared = {(pair.ours.row, pair.ours.column) for pair in pairs}
    alone = [place for cell in cells if (place := (cell.row, cell.column)) not in compared]
    return Comparison(grid.suite.title or grid.suite.name, pairs, alone, published)


def _pairs(ours: OurCell, measure: Measure, figures: Sequence[Figure]) -> list[Pair]:
    metric = ours.measure(measure)
    if metric is None:
        return []
    found = [figure for figure in figures if figure.measure == measure and is_counterpart(ours, figure)]
    for distance in _DISTANCES:
        nearest = min((distance(ours, figure) for figure in found), default=0)
        found = [figure for figure in found if distance(ours, figure) == nearest]
    # Papers repeat a row in several tables.
    once = {(figure.attack, figure.value, figure.setting.note): figure for figure in reversed(found)}
    return [Pair(figure, ours, metric, list_differences(ours, figure)) for figure in once.values()]


def is_counterpart(ours: OurCell, figure: Figure) -> bool:
    """Whether a figure is of the same attack, defence and way of training as a cell."""
    attack, defence = figure.of_attack, figure.of_defence
    if attack.other or defence.other or attack.attack != ours.attack or defence.purify != ours.purifier:
        return False
    if figure.setting.train.get("mode", "scratch") != ours.train["mode"]:
        return False
    if compensation_of(defence.train) != ours.compensates or defence.defence != ours.defence:
        return False
    theirs = ours.purify if defence.purify else ours.defence_settings
    return all(field in theirs and is_same(theirs[field], value) for field, value in defence.set.items())


def _of_dataset(ours: OurCell, figure: Figure) -> float:
    return figure.setting.dataset != ours.dataset


def _of_network(ours: OurCell, figure: Figure) -> float:
    return not is_same(ours.train["model"], figure.setting.train.get("model"))


def _of_strength(ours: OurCell, figure: Figure) -> float:
    """How many fields of the poison differ, and by which factor the share of the pictures does."""
    share, attack = ours.share, figure.of_attack
    differing = sum(not is_same(ours.poison.get(field), value) for field, value in attack.set.items())
    if share is None or attack.share is None:
        return differing
    return differing + 1 - min(share, attack.share) / max(share, attack.share)


def _of_recipe(ours: OurCell, figure: Figure) -> float:
    """How many fields of the defence's training and of its model's fit differ; of equals the paper's main variant."""
    defence = figure.of_defence
    train = sum(not is_same(ours.train.get(field), value) for field, value in defence.train.items())
    fit = sum(not is_same(ours.fit.get(field), value) for field, value in figure.purifier.fit.items())
    return train + fit + 0.1 * len(defence.fit)


_DISTANCES: tuple[Callable[[OurCell, Figure], float], ...] = (_of_dataset, _of_network, _of_strength, _of_recipe)
