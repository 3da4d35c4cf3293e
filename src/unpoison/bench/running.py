"""Running a suite: every cell of the grid that has no record yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from unpoison.bench.arithmetic import Arithmetic
from unpoison.bench.cache import Busy, Cache
from unpoison.bench.cells import Cell, list_cells
from unpoison.bench.checking import check_classes, check_parts
from unpoison.bench.estimate import Estimate, estimate
from unpoison.bench.own import lending
from unpoison.bench.progress import SuiteProgress
from unpoison.bench.suite import Suite, read_suite
from unpoison.bench.trials import Trials
from unpoison.bench.workshop import Workshop
from unpoison.core.files import write_text
from unpoison.core.progress import OnStep, StepInfo, bar_in_notebook, write_line
from unpoison.core.records import Records, TrialRecord
from unpoison.core.settings import PrecisionOrInt8

_WAIT_SECONDS = 2.0  # between looks at what other processes have finished
_TOLD_EVERY = 30  # looks in vain


def run_suite(
    suite: Suite | str | Path,
    out: str | Path,
    *,
    root: Path | None = None,
    device: str = "auto",
    precision: PrecisionOrInt8 | None = None,
    targets: Collection[int] | None = None,
    dry_run: bool = False,
    purifiers: Mapping[str, Any] | None = None,
    attacks: Mapping[str, Any] | None = None,
    classifiers: Mapping[str, Any] | None = None,
    on_estimate: Callable[[Estimate], None] | None = None,
    on_step: OnStep | None = None,
) -> list[TrialRecord]:
    """Run all trials of a suite that have no record yet.

    Records are written to `<out>/<suite>/<id>.json` as each trial ends, beside a copy of the suite; intermediate sets
    and models lie in `<out>/<suite>/cache` and are made again if it is deleted. A stopped suite goes on when it is run
    again. Several processes that run the same suite into the same folder share its trials.

    The record of a trial with methods of your own names their classes and settings. Those that a suite names as
    `package.module:Class` can be found again; of those given here it says that the record alone cannot remake them. A
    trial is run again when settings, or the code of a class, have changed; what an object holds besides is not seen, so
    put into its settings whatever its results depend on.

    Args:
        suite: the grid, or its TOML file.
        out: folder that holds a folder per suite.
        root: folder that the paths of the suite's sets are relative to.
        device: where to compute.
        precision: of every network, whatever the suite and its profiles say. If left out, theirs; `auto` then stands
            for what the suite says, else for what it stood for in the records that are there, else for the faster one
            of the device.
        targets: of attacks with several cases, run only those with these numbers, counted from 0; all if left out.
        dry_run: check the suite and say what is expected, but run nothing and give no records.
        purifiers: name in the suite -> a purifier of your own: an object with `purify(images, *, noise)`, or its class,
            which is then called with `(settings, device=)` and has its settings model as `Settings`. On a CPU several
            threads call it at once.
        attacks: name -> an attack of your own: an object or class with `craft(image_set, settings, *, generator,
            resources)` and `Settings`; with `chooses = True` it picks its victims itself.
        classifiers: name -> a builder of your own, `(classes, width) -> nn.Module`.
        on_estimate: called before the first trial, with what is expected.
        on_step: called as the work goes on, with the share that is done of all trials and what is being made. In a
            notebook a bar shows if it is left out.

    Returns:
        The records of the grid, or of the part that was asked for, in its order.

    Raises:
        SettingsError: the suite is bad, or none of its attacks has a case with one of the numbers.
    """
    suite = suite if isinstance(suite, Suite) else read_suite(Path(suite))
    objects = suite.objects()
    with (
        bar_in_notebook(f"bench {suite.name}", on_step, unit="%") as on_step,
        lending(
            purifiers={**objects["purifiers"], **(purifiers or {})},
            attacks={**objects["attacks"], **(attacks or {})},
            classifiers={**objects["classifiers"], **(classifiers or {})},
        ),
    ):
        suite.check()
        check_parts(suite)
        cells = list_cells(suite, targets)
        folder = Path(out) / suite.name
        sets = {name: suite.read_set(name, root) for name in suite.sets}
        check_classes(suite, sets["train"].class_names)
        known = Records(folder)
        arithmetic = Arithmetic(device, asked=precision, fixed=suite.precision, begun=known.all())
        if on_step:
            on_step(StepInfo(0, len(cells), doing="how long it will take"))
        expected = None
        if on_estimate or on_step:
            expected = estimate(suite, cells, folder, sets, device=device, arithmetic=arithmetic)
        if expected and on_estimate:
            on_estimate(expected)
        if dry_run:
            return []
        write_text(folder / "suite.toml", suite.text())
        progress = SuiteProgress(on_step, len(cells), expected_s=expected.a_training if expected else None)
        workshop = Workshop(Cache(folder / "cache"), device=device, bar=progress.bar, arithmetic=arithmetic)
        return _run_cells(cells, Trials(suite, sets, known, workshop), progress)


def _run_cells(cells: Sequence[Cell], trials: Trials, progress: SuiteProgress) -> list[TrialRecord]:
    """The records of all cells; those that other processes are at come later, or from them."""
    records: dict[Cell, TrialRecord] = {}
    in_vain = 0
    while len(records) < len(cells):
        before = len(records)
        for number, cell in enumerate(cells, 1):
            if cell not in records:
                progress.begin(number, f"{cell.attack} / {cell.defence}")
                try:
                    records[cell] = trials.run(cell)
                except Busy:
                    continue  # another process is at it; look again on the next round
                progress.end()
        if len(records) > before:
            in_vain = 0
            continue
        if in_vain % _TOLD_EVERY == 0:
            left = sorted({f"{cell.attack} / {cell.defence}" for cell in cells if cell not in records})
            write_line(
                f"unpoison: waiting for other processes, which are at {', '.join(left)}; is one of them stopped?"
            )
        in_vain += 1
        time.sleep(_WAIT_SECONDS)
    return [records[cell] for cell in cells]
