"""The cost of a suite before it is run: from records of this kind of machine, else from a few steps of training."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np

from unpoison.bench.arithmetic import Arithmetic
from unpoison.bench.cells import Cell
from unpoison.bench.checking import training_settings
from unpoison.bench.sections import Defence
from unpoison.bench.suite import Suite
from unpoison.classify.settings import LoopSettings, TrainSettings
from unpoison.classify.training import train
from unpoison.core.device import choose_device, describe_device
from unpoison.core.errors import DataError, UnpoisonError
from unpoison.core.hashing import canonical_json
from unpoison.core.images import ImageSet
from unpoison.core.progress import duration
from unpoison.core.records import TrialRecord, read_records
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.fresh import FreshDraws
from unpoison.runs.run import PurifyRun

_STEPS = 2  # of the short training
_PICTURES = 128  # of the purification that is timed
_STAGES = {"poison": "attack", "purify": "defence"}  # and what names one


@dataclass(frozen=True)
class Estimate:
    """What a suite will take.

    Args:
        trials: of the grid.
        on_record: how many need not be run.
        seconds: of all that is counted; None if no training could be timed.
        a_training: seconds of a training, the mean over those to come.
        not_counted: rows and columns whose poison or purification no record times.
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
        if self.seconds is None or self.a_training is None:
            return f"{text}; how long the others take is not known"
        text += f"; about {duration(self.seconds)} to go, {duration(self.a_training)} a training"
        return text + (f", and the making of {', '.join(self.not_counted)} besides" if self.not_counted else "")


def estimate(
    suite: Suite,
    cells: Sequence[Cell],
    folder: Path,
    sets: Mapping[str, ImageSet],
    *,
    device: str,
    arithmetic: Arithmetic,
) -> Estimate:
    """What the cells of a suite will take on this machine.

    Args:
        suite: the grid.
        cells: those that are asked for.
        folder: of the suite; records of other suites beside it tell times as well.
        sets: of the suite.
        device: where it is computed.
        arithmetic: of its networks.
    """
    own = read_records(folder)
    done = {_place(record.settings, suite) for record in own}
    left = [cell for cell in cells if (cell.attack, cell.defence, cell.seed, cell.case) not in done]
    if not left:
        return Estimate(len(cells), len(cells), 0.0, None, ())
    here = describe_device(choose_device(device))
    known = [record for record in [*own, *_beside(folder)] if record.device == here]
    trained = {name: arithmetic.settle(training_settings(suite, suite.defences[name])) for name in _columns(left)}
    columns = _trainings(suite, trained, known, sets["train"], device)
    plain = next((seconds for seconds in columns.values() if seconds), None)
    if plain is None:
        return Estimate(len(cells), len(cells) - len(left), None, None, ())
    trainings = [columns[cell.defence] or plain for cell in left]
    total, not_counted = sum(trainings), dict[str, None]()
    made = dict.fromkeys(part for cell in left for part in _made_for(suite, cell))
    for (stage, name), times in Counter((stage, name) for stage, name, _ in made).items():
        told = [
            record.seconds[stage] / (record.details["train_images"] * _draws_in(record, stage))
            for record in known
            if record.seconds.get(stage) and record.settings[_STAGES[stage]] == name
        ]
        column = suite.defences[name] if stage == "purify" else Defence()
        each = median(told) if told else _time_draw(column, sets["train"], device, arithmetic)
        if each is None:
            not_counted[name] = None
        else:
            draws = column.count_draws(trained[name].epochs) if stage == "purify" else 1
            total += each * len(sets["train"]) * draws * times
    return Estimate(len(cells), len(cells) - len(left), total, fmean(trainings), tuple(not_counted))


def _draws_in(record: TrialRecord, stage: str) -> int:
    """How often the set was purified in a trial."""
    draws: int = record.details.get("draws", 1) if stage == "purify" else 1
    return draws


def _time_draw(defence: Defence, train_set: ImageSet, device: str, arithmetic: Arithmetic) -> float | None:
    """Seconds a picture of a purification that belongs to a training; None if it does not, or needs a fitted model."""
    if defence.draws is None or defence.models():
        return None
    settings = purifier_settings(defence.purify, overrides=defence.set)
    run = PurifyRun({name: arithmetic.settle(link) for name, link in settings.items()})
    few = train_set.subset(np.arange(min(len(train_set), _PICTURES)))
    fresh = FreshDraws(few, run, epochs=2, device=device)
    for epoch in (1, 2):  # the first meets what is loaded on first use
        before = fresh.seconds
        fresh(epoch)
    return (fresh.seconds - before) / len(few)


def _columns(cells: Iterable[Cell]) -> list[str]:
    """Names of their defences, in order."""
    return list(dict.fromkeys(cell.defence for cell in cells))


def _made_for(suite: Suite, cell: Cell) -> list[tuple[str, str, tuple[Any, ...]]]:
    """What is made for a cell, once for all that share it: stage, row or column, and what tells one from another."""
    made: list[tuple[str, str, tuple[Any, ...]]] = []
    if suite.attacks[cell.attack].attack:
        made.append(("poison", cell.attack, (cell.seed, cell.case)))
    if suite.defences[cell.defence].purify:
        made.append(("purify", cell.defence, (cell.attack, cell.seed, cell.case)))
    return made


def _trainings(
    suite: Suite,
    columns: Mapping[str, LoopSettings],
    known: Sequence[TrialRecord],
    train_set: ImageSet,
    device: str,
) -> dict[str, float | None]:
    """Seconds of a training in each column: as in records of the same network, else from a few steps; None if neither
    can be had."""
    told: dict[str, list[float]] = defaultdict(list)
    for record in known:
        if record.seconds.get("train"):
            seen = record.details["train_images"] * record.settings["train"]["epochs"]
            told[_network(record.settings["train"])].append(record.seconds["train"] / seen)
    rates: dict[str, float | None] = {network: median(found) for network, found in told.items()}
    seconds: dict[str, float | None] = {}
    for name, settings in columns.items():
        asked = _network({"model": suite.train.model, "mode": suite.train.mode, **settings.model_dump(mode="json")})
        if asked not in rates:
            rates[asked] = _time_steps(suite, settings, train_set, device)
        rate = rates[asked]
        seconds[name] = None if rate is None else rate * len(train_set) * settings.epochs
    return seconds


def _network(train: Mapping[str, Any]) -> str:
    """The part of a training's settings that its time hangs on."""
    mode, defence = train.get("mode", "scratch"), train.get("defence", {})
    return canonical_json([train["model"], train.get("width"), mode, defence, train.get("precision")])


def _time_steps(suite: Suite, settings: LoopSettings, train_set: ImageSet, device: str) -> float | None:
    """Seconds a picture and epoch."""
    if not isinstance(settings, TrainSettings):
        return None
    short = settings.model_copy(update={"epochs": 1, "test_every": 1})
    seconds = None
    for steps in (1, _STEPS):  # the first meets what is loaded on first use
        count = min(len(train_set), steps * settings.batch_size)
        few = train_set.subset(np.linspace(0, len(train_set) - 1, count).astype(int))
        one = few.subset(np.arange(1))
        try:
            told = train(few, test_set=one, model=suite.train.model, settings=short, device=device)
        except UnpoisonError:  # a class has none of the few pictures, or a defence waits for a later epoch
            return None
        seconds = told.seconds / count
    return seconds


def _place(settings: Mapping[str, Any], suite: Suite) -> tuple[str, str, int, int]:
    """The cell of a record; a case that the suite no longer has is -1."""
    cases = suite.attacks[settings["attack"]].each_case() if settings["attack"] in suite.attacks else []
    case = settings.get("case") or {}
    return settings["attack"], settings["defence"], settings["seed"], cases.index(case) if case in cases else -1


def _beside(folder: Path) -> list[TrialRecord]:
    """Records of the suites in folders beside this one; what cannot be read says nothing of time."""
    found: list[TrialRecord] = []
    for other in sorted(folder.parent.glob("*/suite.toml")):
        if other.parent != folder:
            try:
                found += read_records(other.parent)
            except DataError:
                continue
    return found
