"""ECLIPSE's `results.csv`: one line a training, no header, so that both projects' results can be read together."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from unpoison.core.files import write_text


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


def write_rows(path: Path, rows: Iterable[EclipseRow]) -> None:
    """Write the file in one piece."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(astuple(row) for row in rows)
    write_text(path, text.getvalue())
