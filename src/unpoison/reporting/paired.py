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

_MEAN = "mean over attacks"


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
    found = {name: row.detectable for name, row in _rows(grid).items() if name != _MEAN}
    told = {name: value for name, value in found.items() if value is not None}
    if not told:
        return ""
    shown = ", ".join(f"{name} {value:.1f}" for name, value in told.items())
    return (
        f"Two columns of one row are told apart (95 %, trainings paired by seed) from this many points on: {shown}.\n"
    )


def paired_table(grid: Grid) -> str:
    """Columns that have every row: what they cost on clean data, what they leave over all attacks, and at the worst.

    The best first; empty where a suite has fewer than two attacks or one training a cell.
    """
    rows = _rows(grid)
    control, overall = rows.get(clean_control(grid.suite)), rows.get(_MEAN)
    none = undefended(grid.suite)
    if control is None or overall is None or none not in overall.defences:
        return ""
    if control.detectable is None or overall.detectable is None:
        return ""
    attacks = [name for name in grid.suite.attacks if name != clean_control(grid.suite)]
    lines = ["| defence | clean | mean over attacks | worst attack |", "|---|---|---|---|"]
    for name in sorted(overall.defences, key=overall.of, reverse=True):
        worst = min(attacks, key=lambda attack: rows[attack].of(name))
        figures = (f"{row.of(name):.1f} ({row.of(name) - row.of(none):+.1f})" for row in (control, overall))
        lines.append(f"| {name} | {' | '.join(figures)} | {rows[worst].of(name):.1f} ({worst}) |")
    lines.append(f"| told apart from | {control.detectable:.1f} | {overall.detectable:.1f} | |")
    lines += ["", f"Accuracy in %, mean over trainings; in brackets the difference to `{none}`, and the attack."]
    return "\n".join(lines) + " The worst is picked among means, so chance makes it look a little worse.\n"


def _rows(grid: Grid) -> dict[str, Row]:
    """Every attack, and the mean over those that are none; of columns that lack a training, nothing."""
    trials: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for record in grid.records:
        settings = record.settings
        training = canonical_json([settings.get("seed"), settings.get("case")])
        trials[settings["attack"]][settings["defence"]][training] = 100 * record.metrics["accuracy"].value
    rows = {name: _row(grid, trials[name]) for name in grid.suite.attacks if name in trials}
    attacks = [row for name, row in rows.items() if name != clean_control(grid.suite)]
    if len(attacks) > 1 and len(rows) == len(grid.suite.attacks) and len({len(row.values) for row in attacks}) == 1:
        complete = tuple(name for name in grid.suite.defences if all(name in row.defences for row in rows.values()))
        picked = [row.values[:, [row.defences.index(name) for name in complete]] for row in attacks]
        rows[_MEAN] = Row(complete, np.mean(picked, axis=0))
    return rows


def _row(grid: Grid, found: dict[str, dict[str, float]]) -> Row:
    trainings = sorted({training for column in found.values() for training in column})
    complete = tuple(name for name in grid.suite.defences if len(found.get(name, ())) == len(trainings))
    return Row(complete, np.array([[found[name][one] for name in complete] for one in trainings]))
