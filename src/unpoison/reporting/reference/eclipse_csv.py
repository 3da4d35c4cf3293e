"""ECLIPSE's `results.csv`: one line a training, no header, so that both projects' results can be read together."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from unpoison.core.files import write_text
from unpoison.core.records import TrialRecord
from unpoison.reporting.grid import Grid


@dataclass(frozen=True)
class EclipseRow:
    """One line, in the order of its columns.

    Args:
        pure: whether the purified set was trained on.
        arch: name of the classifier.
        poison: name of the poison.
        sparse_set: name of the clean set that the diffusion model was fitted to, e.g. `test2000ps8000`.
        t: noising steps of the purification.
        p: probability of grey in the compensation.
        std: noise of the compensation.
        accuracy: in percent, of the last epoch.
    """

    pure: bool
    arch: str
    poison: str
    sparse_set: str
    t: int
    p: float
    std: float
    accuracy: float


def eclipse_rows(grid: Grid) -> list[EclipseRow]:
    """The trials that its columns can tell apart: undefended ones, and those purified by `eclipse` alone.

    Its code writes the columns of purification also where there was none; here they are empty or 0 then.
    """
    order = [(attack, defence) for attack in grid.suite.attacks for defence in grid.suite.defences]
    told_apart = [record for record in grid.records if _is_theirs(record)]
    told_apart.sort(key=lambda record: order.index((record.settings["attack"], record.settings["defence"])))
    return [_row(grid, record) for record in told_apart]


def _is_theirs(record: TrialRecord) -> bool:
    purifier = record.settings["purify"].get("method", "eclipse")
    return purifier == "eclipse" and not record.settings["train"].get("defence")


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


def write_rows(path: Path, rows: Iterable[EclipseRow]) -> None:
    """Write the file in one piece."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(astuple(row) for row in rows)
    write_text(path, text.getvalue())
