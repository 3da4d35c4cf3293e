"""Running a suite: every cell of the grid that has no record yet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unpoison.bench.suite import Attack, Defence, Suite, read_suite
from unpoison.bench.workshop import Bar, Made, Workshop
from unpoison.classify.settings import TrainSettings
from unpoison.classify.training import train
from unpoison.core.device import choose_device, describe_device, versions
from unpoison.core.files import write_text
from unpoison.core.images import ImageSet
from unpoison.core.progress import OnStep, progress_bar
from unpoison.core.records import TrialRecord, read_records, trial_id, write_record
from unpoison.core.settings import build_settings
from unpoison.scoring.accuracy import score


@contextmanager
def _bar(label: str, unit: str) -> Iterator[OnStep]:
    with progress_bar(label, unit=unit) as on_step:
        yield on_step


def run_suite(
    path: Path, out: Path, *, root: Path | None = None, device: str = "auto", bar: Bar = _bar
) -> list[TrialRecord]:
    """Run all trials of a suite that have no record yet.

    Records are written to `<out>/<suite>/<id>.json` as each trial ends, beside a copy of the suite;
    intermediate sets and models lie in `<out>/<suite>/work` and are made again if it is deleted. A stopped suite goes
    on when it is run again.

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
    workshop = Workshop(folder / "work", device=device, bar=bar)
    sets = {name: suite.read_set(name, root) for name in suite.sets}
    known = {record.id: record for record in read_records(folder)}
    models = {name: workshop.fit(model, sets[model.fit]) for name, model in suite.models.items()}
    records = []
    for seed in suite.seeds:
        for attack_name, attack in suite.attacks.items():
            poisoned = workshop.poison(attack, sets["train"], seed)
            for defence_name, defence in suite.defences.items():
                cell = _Cell(suite, attack_name, attack, defence_name, defence, seed)
                record = _run_cell(cell, workshop, poisoned, models.get(defence.model), sets["test"], known)
                if record.id not in known:
                    write_record(folder, record)
                records.append(record)
    return records


class _Cell:
    """One trial of the grid: its coordinates and its training."""

    def __init__(self, suite: Suite, attack_name: str, attack: Attack, defence_name: str, defence: Defence, seed: int):
        self.suite, self.defence, self.seed = suite, defence, seed
        self.names = {"attack": attack_name, "defence": defence_name}
        self.training = build_settings(
            TrainSettings,
            profiles=[*suite.train.profile, *defence.train_profile],
            room="unpoison.classify",
            overrides=suite.train.set,
        )

    def settings(self, poisoned: Made, purified: Made, model: Made | None) -> dict[str, Any]:
        return {
            **self.names,
            "poison": poisoned.settings,
            "purify": purified.settings,
            "fit": model.settings if model else {},
            "train": {"model": self.suite.train.model, **self.training.model_dump(mode="json")},
            "seed": self.seed,
        }


def _run_cell(
    cell: _Cell,
    workshop: Workshop,
    poisoned: Made,
    model: Made | None,
    test_set: ImageSet,
    known: dict[str, TrialRecord],
) -> TrialRecord:
    purified = workshop.purify(cell.defence, model, poisoned, cell.seed)
    settings = cell.settings(poisoned, purified, model)
    inputs = {"poisoned": poisoned.digest, "purified": purified.digest, "test": test_set.content_hash}
    if model:
        inputs["model"] = model.digest
    identity = trial_id(settings, inputs)
    if identity in known:
        return known[identity]
    started = time.perf_counter()
    with workshop.bar(f"train {cell.names['attack']} / {cell.names['defence']}", "step") as on_step:
        trained = train(
            purified.value,
            test_set=test_set,
            model=cell.suite.train.model,
            settings=cell.training,
            seed=cell.seed,
            device=workshop.device,
            on_step=on_step,
        )
    scored = score(trained, test_set)
    return TrialRecord(
        id=identity,
        suite=cell.suite.name,
        settings=settings,
        inputs=inputs,
        metrics={"accuracy": scored.accuracy},
        details={
            "peak_accuracy": scored.peak,
            "per_class": {name: metric.value for name, metric in scored.per_class.items()},
            "train_images": len(purified.value),
        },
        versions=versions(),
        device=describe_device(choose_device(workshop.device)),
        seconds={
            "poison": round(poisoned.seconds, 2),
            "fit": round(model.seconds, 2) if model else 0.0,
            "purify": round(purified.seconds, 2),
            "train": round(time.perf_counter() - started, 2),
        },
    )
