"""ECLIPSE's `results.csv`: one line a training, no header, so that both projects' results can be read together."""

from __future__ import annotations

import csv
from dataclasses import astuple, dataclass
from pathlib import Path


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


def append_row(path: Path, row: EclipseRow) -> None:
    """Add a line to the file, which is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(astuple(row))
