"""Running a suite: every cell of the grid that has no record yet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unpoison.bench.suite import Suite, read_suite
from unpoison.bench.workshop import Bar, Busy, Made, Workshop
from unpoison.classify.settings import TrainSettings
from unpoison.classify.training import train
from unpoison.core.device import choose_device, describe_device, versions
from unpoison.core.files import write_text
from unpoison.core.images import ImageSet
from unpoison.core.progress import OnStep, progress_bar
from unpoison.core.records import TrialRecord, read_records, trial_id, write_record
from unpoison.core.settings import build_settings
from unpoison.scoring.accuracy import score

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
    bench = _Bench(suite, folder, sets, Workshop(folder / "cache", device=device, bar=bar))
    seeds = sorted({*suite.seeds, *(seed for defence in suite.defences.values() for seed in defence.seeds or ())})
    cells = [
        _Cell(attack, name, seed)
        for seed in seeds
        for attack in suite.attacks
        for name, defence in suite.defences.items()
        if seed in (suite.seeds if defence.seeds is None else defence.seeds)
    ]
    records: dict[_Cell, TrialRecord] = {}
    while len(records) < len(cells):
        before = len(records)
        for cell in cells:
            if cell not in records:
                try:
                    records[cell] = bench.run(cell)
                except Busy:
                    continue  # another process is at it; look again on the next round
        if len(records) == before:
            time.sleep(_WAIT_SECONDS)
    return [records[cell] for cell in cells]


@dataclass(frozen=True)
class _Cell:
    attack: str
    defence: str
    seed: int


@dataclass(frozen=True)
class _Bench:
    """A suite with its sets and its workshop."""

    suite: Suite
    folder: Path
    sets: dict[str, ImageSet]
    workshop: Workshop

    def run(self, cell: _Cell) -> TrialRecord:
        """The record of a cell: found, or made."""
        with self.workshop.claim(f"{cell.attack}-{cell.defence}-{cell.seed}"):
            defence = self.suite.defences[cell.defence]
            poisoned = self.workshop.poison(self.suite.attacks[cell.attack], self.sets["train"], cell.seed)
            model = None
            if defence.model:
                fitted = self.suite.models[defence.model]
                model = self.workshop.fit(fitted, self.sets[fitted.fit])
            purified = self.workshop.purify(defence, model, poisoned, cell.seed)
            settings = self._settings(cell, poisoned, purified, model)
            inputs = {
                "poisoned": poisoned.digest,
                "purified": purified.digest,
                "test": self.sets["test"].content_hash,
                **({"model": model.digest} if model else {}),
            }
            identity = trial_id(settings, inputs)
            known = {record.id: record for record in read_records(self.folder)}
            if identity in known:
                return known[identity]
            record = self._train(cell, identity, settings, inputs, poisoned, purified, model)
            write_record(self.folder, record)
            return record

    def _settings(self, cell: _Cell, poisoned: Made, purified: Made, model: Made | None) -> dict[str, Any]:
        return {
            "attack": cell.attack,
            "defence": cell.defence,
            "poison": poisoned.settings,
            "purify": purified.settings,
            "fit": model.settings if model else {},
            "train": {"model": self.suite.train.model, **self._training(cell).model_dump(mode="json")},
            "seed": cell.seed,
        }

    def _training(self, cell: _Cell) -> TrainSettings:
        return build_settings(
            TrainSettings,
            profiles=[*self.suite.train.profile, *self.suite.defences[cell.defence].train_profile],
            room="unpoison.classify",
            overrides=self.suite.train.set,
        )

    def _train(
        self,
        cell: _Cell,
        identity: str,
        settings: dict[str, Any],
        inputs: dict[str, str],
        poisoned: Made,
        purified: Made,
        model: Made | None,
    ) -> TrialRecord:
        test_set = self.sets["test"]
        with self.workshop.bar(f"train {cell.attack} / {cell.defence}", "step") as on_step:
            trained = train(
                purified.value,
                test_set=test_set,
                model=self.suite.train.model,
                settings=self._training(cell),
                seed=cell.seed,
                device=self.workshop.device,
                on_step=on_step,
            )
        scored = score(trained, test_set)
        return TrialRecord(
            id=identity,
            suite=self.suite.name,
            settings=settings,
            inputs=inputs,
            metrics={"accuracy": scored.accuracy},
            details={
                "peak_accuracy": scored.peak,
                "per_class": {name: metric.value for name, metric in scored.per_class.items()},
                "train_images": len(purified.value),
            },
            versions=versions(),
            device=describe_device(choose_device(self.workshop.device)),
            seconds={
                "poison": round(poisoned.seconds, 2),
                "fit": round(model.seconds, 2) if model else 0.0,
                "purify": round(purified.seconds, 2),
                "train": round(trained.seconds, 2),
            },
        )
