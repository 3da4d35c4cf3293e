"""The cost of a suite before it is run: from records of the same kind of machine, and one short training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from unpoison.bench.checking import training_settings
from unpoison.bench.suite import Defence, Suite
from unpoison.bench.trials import Cell
from unpoison.classify.settings import LoopSettings, TrainSettings
from unpoison.classify.training import train
from unpoison.core.device import choose_device, describe_device
from unpoison.core.errors import DataError, UnpoisonError
from unpoison.core.hashing import canonical_json
from unpoison.core.images import ImageSet
from unpoison.core.progress import duration
from unpoison.core.records import TrialRecord, read_records

_STEPS = 3  # of the short training
_NOT_ASKED = {"seed", "precision", "microbatch", "weights"}  # of a stage, for its time


@dataclass(frozen=True)
class Estimate:
    """What a suite will take.

    Args:
        trials: of the grid.
        on_record: how many need not be run.
        seconds: of all that is counted; None if no training could be timed.
        a_training: seconds of one training.
        not_counted: rows and columns whose own time, for poison or purification, nothing tells.
    """

    trials: int
    on_record: int
    seconds: float | None
    a_training: float | None
    not_counted: Sequence[str]

    def __str__(self) -> str:
        text = f"{self.trials} trials, {self.on_record} on record"
        if self.on_record == self.trials:
            return text
        text += f", about {duration(self.seconds)} to go" if self.seconds is not None else ", of unknown length"
        if self.a_training is not None:
            text += f" ({duration(self.a_training)} a training)"
        return text + (f", without the making of {', '.join(self.not_counted)}" if self.not_counted else "")


def estimate(suite: Suite, cells: Sequence[Cell], out: Path, sets: dict[str, ImageSet], *, device: str) -> Estimate:
    """What the cells of a suite will take on this machine.

    Args:
        suite: the grid.
        cells: those that are asked for.
        out: folder with a folder of records for each suite; all of them may tell something.
        sets: of the suite.
        device: where it is computed.
    """
    own, here = read_records(out / suite.name), describe_device(choose_device(device))
    known = [*own, *(record for folder in _others(out, suite.name) for record in _readable(folder))]
    known = [record for record in known if record.device == here]
    done = {_place(record.settings, suite) for record in own}
    left = [cell for cell in cells if (cell.attack, cell.defence, cell.seed, cell.case) not in done]
    if not left:
        return Estimate(len(cells), len(cells), 0.0, None, ())
    a_training = _training_seconds(suite, known, sets, device)
    total, not_counted = len(left) * (a_training or 0.0), []
    for stage, name, key in sorted({part for cell in left for part in _parts(suite, cell)}):
        told = [
            record.seconds[stage] / (record.details["train_images"] if stage == "purify" else 1)
            for record in known
            if record.settings[stage] and record.seconds.get(stage) and record.settings[_NAME[stage]] == name
        ]
        if told:
            total += median(told) * (len(sets["train"]) if stage == "purify" else 1)
        elif key:
            not_counted.append(name)
    names = tuple(dict.fromkeys(not_counted))
    return Estimate(len(cells), len(cells) - len(left), total if a_training else None, a_training, names)


_NAME = {"poison": "attack", "purify": "defence"}


def _parts(suite: Suite, cell: Cell) -> list[tuple[str, str, str]]:
    """What is made for a cell, once for all that share it: stage, row or column, and a key."""
    parts = []
    if suite.attacks[cell.attack].attack:
        parts.append(("poison", cell.attack, f"{cell.seed}-{cell.case}"))
    if suite.defences[cell.defence].purify:
        parts.append(("purify", cell.defence, f"{cell.attack}-{cell.seed}-{cell.case}"))
    return parts


def _training_seconds(
    suite: Suite, known: Sequence[TrialRecord], sets: dict[str, ImageSet], device: str
) -> float | None:
    """Seconds of one training: as in records of the same network, else from a few steps; None for a transfer."""
    settings = training_settings(suite, Defence())
    seen = len(sets["train"]) * settings.epochs
    rates = [
        record.seconds["train"] / (record.details["train_images"] * record.settings["train"]["epochs"])
        for record in known
        if record.seconds.get("train") and _network(record.settings["train"]) == _network_of(suite, settings)
    ]
    if rates:
        return median(rates) * seen
    if not isinstance(settings, TrainSettings):
        return None
    rows = np.linspace(0, len(sets["train"]) - 1, min(len(sets["train"]), _STEPS * settings.batch_size)).astype(int)
    few = sets["train"].subset(rows)
    short = settings.model_copy(update={"epochs": 1, "test_every": 1})
    seconds = 0.0
    for _ in range(2):  # the first meets what is loaded on first use
        try:
            seconds = train(few, test_set=few.subset(rows[:1] * 0), model=suite.train.model, settings=short).seconds
        except UnpoisonError:  # a class of its own has none of the few pictures
            return None
    return seconds / len(few) * seen


def _network(described: dict[str, Any]) -> str:
    return canonical_json([described["model"], described.get("width"), described.get("mode", "scratch")])


def _network_of(suite: Suite, settings: LoopSettings) -> str:
    width = getattr(settings, "width", None)
    return _network({"model": suite.train.model, "width": width, "mode": suite.train.mode})


def _place(settings: dict[str, Any], suite: Suite) -> tuple[str, str, int, int]:
    cases = suite.attacks[settings["attack"]].each_case() if settings["attack"] in suite.attacks else [{}]
    case = settings.get("case") or {}
    return settings["attack"], settings["defence"], settings["seed"], cases.index(case) if case in cases else -1


def _others(out: Path, name: str) -> list[Path]:
    return [path.parent for path in sorted(out.glob("*/suite.toml")) if path.parent.name != name]


def _readable(folder: Path) -> list[TrialRecord]:
    try:
        return read_records(folder)
    except DataError:  # it is another suite's, and only its times were asked for
        return []
