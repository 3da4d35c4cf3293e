"""Running a suite: every cell of the grid that has no record yet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unpoison.bench.suite import read_suite
from unpoison.bench.trials import Cell, Trials
from unpoison.bench.workshop import Bar, Busy, Workshop
from unpoison.core.files import write_text
from unpoison.core.progress import OnStep, progress_bar
from unpoison.core.records import TrialRecord

_WAIT_SECONDS = 2.0  # between looks at what other processes have finished


@contextmanager
def _bar(label: str, unit: str) -> Iterator[OnStep]:
    with progress_bar(label, unit=unit) as on_step:
        yield on_step


def run_suite(
    path: Path, out: Path, *, root: Path | None = None, device: str = "auto", bar: Bar = _bar
) -> list[TrialRecord]:
    """Run all trials of a suite that have no record yet.

    Records are written to `<out>/<suite>/<id>.json` as each trial ends, beside a copy of the suite; intermediate sets
    and models lie in `<out>/<suite>/cache` and are made again if it is deleted. A stopped suite goes on when it is run
    again. Several processes that run the same suite into the same folder share its trials.

    Args:
        path: the suite's TOML file.
        out: folder that holds a folder per suite.
        root: folder that the paths of the suite's sets are relative to.
        device: where to compute.
        bar: makes a progress bar from a label and a unit.

    Returns:
        The records of the whole grid, in its order.
    """
    suite = read_suite(path)
    folder = out / suite.name
    write_text(folder / "suite.toml", path.read_text(encoding="utf-8"))
    sets = {name: suite.read_set(name, root) for name in suite.sets}
    trials = Trials(suite, folder, sets, Workshop(folder / "cache", device=device, bar=bar))
    seeds = sorted({*suite.seeds, *(seed for defence in suite.defences.values() for seed in defence.seeds or ())})
    cells = [
        Cell(attack, name, seed, number)
        for seed in seeds
        for attack in suite.attacks
        for number in range(len(suite.attacks[attack].each_case()))
        for name, defence in suite.defences.items()
        if seed in (suite.seeds if defence.seeds is None else defence.seeds)
    ]
    records: dict[Cell, TrialRecord] = {}
    while len(records) < len(cells):
        before = len(records)
        for cell in cells:
            if cell not in records:
                try:
                    records[cell] = trials.run(cell)
                except Busy:
                    continue  # another process is at it; look again on the next round
        if len(records) == before:
            time.sleep(_WAIT_SECONDS)
    return [records[cell] for cell in cells]
