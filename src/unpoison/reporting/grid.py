"""The records of a suite as a grid: attacks down, defences across."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unpoison.bench.suite import Suite, read_suite
from unpoison.core.errors import SettingsError
from unpoison.core.hashing import canonical_json
from unpoison.core.records import Metric, TrialRecord, read_records
from unpoison.reporting.success import Success, gather_success
from unpoison.scoring.intervals import mean_over_trials
from unpoison.scoring.recovery import recovery

Key = tuple[str, str]


@dataclass(frozen=True)
class Cell:
    """One attack under one defence.

    Args:
        accuracy: mean over trainings (seeds and cases) with its interval; with one training the interval speaks of the
            test images only.
        peak: best test of any epoch, mean over trainings.
        seeds: how many trainings.
        recovery: share of the damage undone; None for the controls, or where the poison did no harm that shows.
        success: how often a triggered or triggerless attack got what it wanted.
    """

    accuracy: Metric
    peak: float
    seeds: int
    recovery: float | None
    success: Success | None = None


@dataclass(frozen=True)
class Grid:
    """All cells of a suite that have records.

    Args:
        suite: where the order and the controls come from.
        cells: (attack, defence) -> cell.
        records: what it was made from.
    """

    suite: Suite
    cells: Mapping[Key, Cell]
    records: Sequence[TrialRecord]


def read_grid(folder: Path) -> Grid:
    """The grid of a suite's folder, as `bench` left it.

    Raises:
        SettingsError: the folder holds no suite or no records, or two records claim the same cell and seed.
    """
    return make_grid(read_suite(folder / "suite.toml"), read_records(folder))


def make_grid(suite: Suite, records: Sequence[TrialRecord]) -> Grid:
    """Arrange the records of a suite. See `read_grid`."""
    trials: dict[Key, list[TrialRecord]] = defaultdict(list)
    for record in records:
        trials[record.settings["attack"], record.settings["defence"]].append(record)
    if not trials:
        raise SettingsError(f"suite {suite.name} has no trial records yet; run `unpoison bench` first")
    for (attack, defence), cell in trials.items():
        if (
            attack not in suite.attacks
            or defence not in suite.defences
            or len({canonical_json([r.settings["seed"], r.settings.get("case")]) for r in cell}) < len(cell)
        ):
            raise SettingsError(
                f"the records of {attack} / {defence} in {suite.name} come from different versions of the suite"
                f"{_other_machines(cell)}; move the old ones elsewhere"
            )
    accuracy = {key: _over_seeds([record.metrics["accuracy"] for record in cell]) for key, cell in trials.items()}
    cells = {
        key: Cell(
            accuracy[key],
            sum(record.details["peak_accuracy"] for record in cell) / len(cell),
            len(cell),
            _recovery(accuracy, key, control=clean_control(suite), undefended=undefended(suite)),
            gather_success(cell),
        )
        for key, cell in trials.items()
    }
    return Grid(suite, cells, records)


def _other_machines(cell: Sequence[TrialRecord]) -> str:
    """Another reason for two records of one training: on each kind of processor networks make other last bits."""
    devices = sorted({record.device for record in cell})
    return f", or from different machines ({'; '.join(devices)})" if len(devices) > 1 else ""


def clean_control(suite: Suite) -> str:
    """Name of the row without an attack."""
    return next(name for name, attack in suite.attacks.items() if not attack.attack)


def undefended(suite: Suite) -> str:
    """Name of the column without a defence."""
    return next(name for name, defence in suite.defences.items() if defence.is_none())


def _over_seeds(metrics: Sequence[Metric]) -> Metric:
    return metrics[0] if len(metrics) == 1 else mean_over_trials([metric.value for metric in metrics])


def _recovery(accuracy: Mapping[Key, Metric], key: Key, *, control: str, undefended: str) -> float | None:
    attack, defence = key
    poisoned, clean = accuracy.get((attack, undefended)), accuracy.get((control, undefended))
    if attack == control or defence == undefended or poisoned is None or clean is None:
        return None
    try:
        return recovery(defended=accuracy[key], poisoned=poisoned, clean=clean).recovery.value
    except SettingsError:  # the poison did no harm that shows, so there is nothing to recover
        return None
