"""One trial of a suite: poison, purify, train and score, and the record of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unpoison.bench.checking import training_settings
from unpoison.bench.identity import OF_BODY, TrialSettings
from unpoison.bench.own import own_facts
from unpoison.bench.suite import Suite
from unpoison.bench.workshop import Made, Workshop
from unpoison.classify.classifier import Classifier
from unpoison.classify.loop import TrainedClassifier
from unpoison.classify.saving import WEIGHTS, load_classifier, save_classifier
from unpoison.classify.settings import LoopSettings
from unpoison.classify.training import train
from unpoison.classify.transfer import transfer
from unpoison.core.device import choose_device, describe_device, versions
from unpoison.core.images import ImageSet
from unpoison.core.manifest import read_manifest
from unpoison.core.records import Metric, Records, TrialRecord
from unpoison.poisons.protocol import Resources
from unpoison.poisons.reading_back import read_attack
from unpoison.scoring.accuracy import score
from unpoison.scoring.success import attack_success, success_rate, targeted_success


@dataclass(frozen=True)
class Cell:
    """One trial of the grid.

    Args:
        attack: name of the row.
        defence: name of the column.
        seed: of poison, purification and training.
        case: which of the attack's cases.
    """

    attack: str
    defence: str
    seed: int
    case: int = 0


@dataclass(frozen=True)
class _Materials:
    """What a trial is made from."""

    poisoned: Made[ImageSet]
    purified: Made[ImageSet]
    models: dict[str, Made[Path]]
    body: Made[Classifier] | None
    test: str  # content hash

    def digests(self) -> dict[str, str]:
        """Hashes of all of it, for the record."""
        return {
            "poisoned": self.poisoned.digest,
            "purified": self.purified.digest,
            **{field: made.digest for field, made in self.models.items()},
            **({"body": self.body.digest} if self.body else {}),
            "test": self.test,
        }


class Trials:
    """The trials of a suite.

    Args:
        suite: the grid.
        sets: its image sets by name.
        records: of the suite.
        workshop: makes what trials need.
    """

    def __init__(self, suite: Suite, sets: Mapping[str, ImageSet], records: Records, workshop: Workshop):
        self.suite, self.sets, self.records, self.workshop = suite, sets, records, workshop
        self._prepared: dict[Cell, _Materials] = {}

    def run(self, cell: Cell) -> TrialRecord:
        """The record of a cell: found, or made.

        Raises:
            Busy: another process is at it, or at something that it needs.
        """
        with self.workshop.claim(f"{cell.attack}-{cell.defence}-{cell.seed}-{cell.case}"):
            found = self.records.find(self.identify(cell))
            if found is None:
                found = self._measure(cell)
                self.records.add(found)
            return found

    def identify(self, cell: Cell) -> str:
        """The id that the record of a cell has or will have; what the trial is made from is made for it.

        Raises:
            Busy: another process is at something that it needs.
        """
        return self._settings(cell).id(self._prepare(cell).digests())

    def _prepare(self, cell: Cell) -> _Materials:
        """What a cell is made from; made, or looked for, once."""
        if cell not in self._prepared:
            self._prepared[cell] = self._make_materials(cell)
        return self._prepared[cell]

    def _make_materials(self, cell: Cell) -> _Materials:
        attack, defence = self.suite.attacks[cell.attack], self.suite.defences[cell.defence]
        parts = attack.parts(attack.each_case()[cell.case]) if attack.attack else []
        resources = Resources(
            surrogates=[self._classifier(name).value for name in attack.surrogates],
            auxiliary=self.sets.get(attack.auxiliary),
            target_set=self.sets.get(attack.target_set),
            device=self.workshop.device,
        )
        poisoned = self.workshop.poison(parts, self.sets["train"], cell.seed, resources)
        models = {field: self._model(name) for field, name in defence.models().items()}
        base = self.workshop.poison([], self.sets["train"], cell.seed)
        purified = self.workshop.purify(defence, models, poisoned, cell.seed, base=base)
        training = self.suite.train
        body = None if training.mode == "scratch" else self._classifier(training.body)
        return _Materials(poisoned, purified, models, body, self.sets["test"].content_hash)

    def _model(self, name: str) -> Made:
        fitted = self.suite.models[name]
        return self.workshop.fit(fitted, self.sets[fitted.fit])

    def _classifier(self, name: str) -> Made:
        fitted = self.suite.classifiers[name]
        return self.workshop.train(fitted, self.sets[fitted.fit], self.sets[fitted.test])

    def _settings(self, cell: Cell) -> TrialSettings:
        materials, training = self._prepare(cell), self.suite.train
        fits = {field: made.settings for field, made in materials.models.items()}
        mode = {"mode": training.mode, "body": materials.body.settings, **OF_BODY} if materials.body else {}
        return TrialSettings(
            attack=cell.attack,
            defence=cell.defence,
            poison=materials.poisoned.settings,
            purify=materials.purified.settings,
            fit=fits.get("model", {}),
            fit_energy=fits.get("energy"),
            train={
                "model": training.model,
                **self._training(cell).model_dump(mode="json"),
                **mode,
                **({} if mode else own_facts("classifier", [training.model])),
            },
            seed=cell.seed,
            case=self.suite.attacks[cell.attack].each_case()[cell.case] or None,
        )

    def _training(self, cell: Cell) -> LoopSettings:
        return self.workshop.settle(training_settings(self.suite, self.suite.defences[cell.defence]))

    def _train(self, cell: Cell, materials: _Materials) -> TrainedClassifier:
        """Train on what the defence left of the cell's set."""
        training = self.suite.train
        with self.workshop.bar(f"train {self.suite.train.model}", "step", is_trial=True) as on_step:
            common: dict[str, Any] = {
                "test_set": self.sets["test"],
                "settings": self._training(cell),
                "seed": cell.seed,
                "device": self.workshop.device,
                "on_step": on_step,
            }
            if materials.body is None or training.mode == "scratch":
                return train(materials.purified.value, model=training.model, **common)
            return transfer(materials.body.value, materials.purified.value, mode=training.mode, **common)

    def _measure(self, cell: Cell) -> TrialRecord:
        materials, test_set = self._prepare(cell), self.sets["test"]
        trained = self._train(cell, materials)
        scored = score(trained, test_set)
        if not self.suite.attacks[cell.attack].attack:
            save_classifier(self._control_folder(cell), trained)
        success, facts = self._score_attack(cell, trained, materials.poisoned)
        seconds = {
            "poison": materials.poisoned.seconds,
            "fit": sum(model.seconds for model in materials.models.values()),
            "purify": materials.purified.seconds,
            "train": trained.seconds,
        }
        settings = self._settings(cell)
        own = settings.own()
        return TrialRecord(
            id=self.identify(cell),
            suite=self.suite.name,
            settings=settings.as_json(),
            inputs=materials.digests(),
            metrics={"accuracy": scored.accuracy, **success},
            details={
                "peak_accuracy": scored.peak,
                "per_class": {name: metric.value for name, metric in scored.per_class.items()},
                "train_images": len(materials.purified.value),
                **({"poison": facts} if facts else {}),
                **({"own": own, "remakeable_from_record": False} if own else {}),
            },
            versions=versions(),
            device=describe_device(choose_device(self.workshop.device)),
            precision=self.workshop.precision,
            seconds={name: round(value, 2) for name, value in seconds.items()},
        )

    def _score_attack(
        self, cell: Cell, trained: TrainedClassifier, poisoned: Made[ImageSet]
    ) -> tuple[dict[str, Metric], dict[str, Any]]:
        """How often the attack gets what it wants, here and from the control that never saw it; and its facts."""
        if poisoned.manifest is None:
            return {}, {}
        facts = read_manifest(poisoned.manifest).steps[-1].facts
        trigger, target = read_attack(poisoned.manifest, trained.net.class_names)
        if trigger is None and target is None:
            return {}, facts
        metrics: dict[str, Metric] = {}
        for prefix, net in (("", trained.net), ("clean_", self._control(cell))):
            if trigger is not None:
                reached = attack_success(net, self.sets["test"], trigger)
                metrics |= {f"{prefix}success_x{scale:g}": metric for scale, metric in reached.success.items()}
                if not prefix:
                    metrics["target_class_accuracy"] = reached.target_accuracy
            if target is not None:
                metrics[f"{prefix}success"] = success_rate([targeted_success(net, target)])
        return metrics, facts

    def _control(self, cell: Cell) -> Classifier:
        """The classifier that was trained in the same way on the clean set."""
        name = next(name for name, attack in self.suite.attacks.items() if not attack.attack)
        control = Cell(name, cell.defence, cell.seed)
        folder = self._control_folder(control)
        with self.workshop.claim(f"control-{folder.name}"):
            if not (folder / WEIGHTS).exists():
                save_classifier(folder, self._train(control, self._prepare(control)))
            return load_classifier(folder).to(choose_device(self.workshop.device))

    def _control_folder(self, control: Cell) -> Path:
        """Where the classifier of a clean cell is kept for those that are compared with it."""
        return self.workshop.folder / "controls" / self.identify(control)
