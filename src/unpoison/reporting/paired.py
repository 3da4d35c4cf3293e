"""Columns of a suite compared pair by pair: which differences its trainings can tell, and who wins over all attacks.

Under one seed all columns start from the same weights and see the pictures in the same order, so what a seed does to
all of them is taken out before their spread is measured.

References:
    Fisher, The design of experiments, 1935: randomised blocks, and the least significant difference.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import sqrt

import numpy as np

from unpoison.core.hashing import canonical_json
from unpoison.reporting.grid import Grid, clean_control, undefended
from unpoison.scoring.intervals import t_quantile


@dataclass(frozen=True)
class Row:
    """Accuracies of the columns that have every training of one row, in points.

    Args:
        defences: [C] names.
        values: [S, C], a training a line.
    """

    defences: tuple[str, ...]
    values: np.ndarray

    def of(self, defence: str) -> float:
        """Mean over trainings."""
        return float(self.values[:, self.defences.index(defence)].mean())

    @property
    def detectable(self) -> float | None:
        """From which difference on two columns are told apart at 95 %; None with one training or one column."""
        trainings, columns = self.values.shape
        if min(trainings, columns) < 2:
            return None
        degrees = (trainings - 1) * (columns - 1)
        values = self.values
        left = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
        return t_quantile(degrees) * sqrt(2 * float((left**2).sum()) / degrees / trainings)


def detectable_differences(grid: Grid) -> str:
    """A sentence on the differences that count; empty where there is one training a cell."""
    found = {name: _row(grid, trials).detectable for name, trials in accuracies(grid).items()}
    told = {name: value for name, value in found.items() if value is not None}
    if not told:
        return ""
    shown = ", ".join(f"{name} {value:.1f}" for name, value in told.items())
    return (
        f"Two columns of one row are told apart (95 %, trainings paired by seed) from this many points on: {shown}.\n"
    )


def paired_table(grid: Grid) -> str:
    """What columns cost on clean data, what they leave over all attacks that were run, and at the worst.

    The best first; of the trainings that all these rows have without a defence, and the columns that have them all.
    Empty where a suite has fewer than two attacks, or two with one training each, by which nothing could be ranked.
    """
    rows, trainings = _common_rows(grid)
    control = rows.pop(clean_control(grid.suite), None)
    if control is None or len(rows) < 2 or len(rows) * trainings < 3 or len(control.defences) < 2:
        return ""
    overall = Row(control.defences, np.mean([row.values for row in rows.values()], axis=0))
    none = undefended(grid.suite)
    lines = ["| defence | clean | mean over attacks | worst attack |", "|---|---|---|---|"]
    for name in sorted(overall.defences, key=overall.of, reverse=True):
        worst = min(rows, key=lambda attack: rows[attack].of(name))
        figures = (f"{row.of(name):.1f} ({row.of(name) - row.of(none):+.1f})" for row in (control, overall))
        lines.append(f"| {name} | {' | '.join(figures)} | {rows[worst].of(name):.1f} ({worst}) |")
    if control.detectable is not None and overall.detectable is not None:
        lines.append(f"| told apart from | {control.detectable:.1f} | {overall.detectable:.1f} | |")
    lines += [
        "",
        f"Accuracy in %, over {', '.join(rows)}; trainings a cell: {trainings}; in brackets the difference to "
        f"`{none}`, and the attack. The worst is picked among means, so chance makes it look a little worse.",
    ]
    return "\n".join(lines) + "\n"


Trials = dict[str, dict[str, float]]  # of one row: defence -> training -> accuracy in %


def accuracies(grid: Grid) -> dict[str, Trials]:
    """The trainings of every row that was begun: row -> defence -> training -> accuracy in %."""
    trials: dict[str, Trials] = {name: defaultdict(dict) for name in grid.suite.attacks}
    for record in grid.records:
        settings = record.settings
        training = canonical_json([settings.get("seed"), settings.get("case")])
        trials[settings["attack"]][settings["defence"]][training] = 100 * record.metrics["accuracy"].value
    return {name: row for name, row in trials.items() if row}


def _row(grid: Grid, found: Trials) -> Row:
    """A row with all its trainings; of columns that lack one, nothing."""
    trainings = sorted({training for column in found.values() for training in column})
    complete = tuple(name for name in grid.suite.defences if len(found.get(name, ())) == len(trainings))
    return Row(complete, np.array([[found[name][one] for name in complete] for one in trainings]))


def _common_rows(grid: Grid) -> tuple[dict[str, Row], int]:
    """The rows, of trainings that all have without a defence and columns that have these; how many trainings."""
    trials, none = accuracies(grid), undefended(grid.suite)
    common = sorted(set.intersection(*(set(row.get(none, ())) for row in trials.values())))
    if not common:
        return {}, 0
    complete = tuple(
        name for name in grid.suite.defences if all(row.get(name, {}).keys() >= set(common) for row in trials.values())
    )
    rows = {
        attack: Row(complete, np.array([[row[name][one] for name in complete] for one in common]))
        for attack, row in trials.items()
    }
    return rows, len(common)
