"""The records of a suite as ECLIPSE's `results.csv`."""

from __future__ import annotations

from unpoison.core.records import TrialRecord
from unpoison.reporting.grid import Grid
from unpoison.reporting.reference.eclipse_csv import EclipseRow


def eclipse_rows(grid: Grid) -> list[EclipseRow]:
    """The trials that its columns can tell apart: undefended ones, and those purified by `eclipse` alone.

    Its code writes the columns of purification also where there was none; here they are empty or 0 then.
    """
    order = [(attack, defence) for attack in grid.suite.attacks for defence in grid.suite.defences]
    told_apart = [record for record in grid.records if record.settings["purify"].get("method", "eclipse") == "eclipse"]
    told_apart.sort(key=lambda record: order.index((record.settings["attack"], record.settings["defence"])))
    return [_row(grid, record) for record in told_apart]


def _row(grid: Grid, record: TrialRecord) -> EclipseRow:
    settings = record.settings
    defence = grid.suite.defences[settings["defence"]]
    return EclipseRow(
        pure=bool(defence.purify),
        arch=settings["train"]["model"],
        poison=settings["attack"],
        sparse_set=grid.suite.models[defence.model].fit if defence.model else "",
        t=settings["purify"].get("eclipse", {}).get("t", 0),
        p=settings["train"]["grayscale_probability"],
        std=settings["train"]["noise_sigma"],
        accuracy=round(100 * record.metrics["accuracy"].value, 2),
    )
