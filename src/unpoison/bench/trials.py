"""One trial of a suite: poison, purify, train and score, and the record of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unpoison.bench.cache import Made
from unpoison.bench.cells import Cell
from unpoison.bench.checking import training_settings
from unpoison.bench.identity import TrialSettings
from unpoison.bench.own import lies_in_objects, own_facts
from unpoison.bench.sections import Training
from unpoison.bench.suite import Suite
from unpoison.bench.workshop import Workshop
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
from unpoison.runs.fresh import FreshDraws
from unpoison.scoring.accuracy import score
from unpoison.scoring.success import attack_success, success_rate, targeted_success


@dataclass(frozen=True)
class _Prepared:
    """A cell before its training: what was made for it, and what is asked.

    Args:
        cell: which.
        settings: all that was asked for.
        inputs: hashes of all that it is made from and tested on.
        training: how it is trained.
        poisoned: the set as the attacker left it.
        purified: what the defence made of that.
        models: of the purifier, by its fields.
        body: that is transferred, if one is.
        asked: how the column is trained, in the suite's words.
    """

    cell: Cell
    settings: TrialSettings
    inputs: dict[str, str]
    training: LoopSettings
    poisoned: Made[ImageSet]
    purified: Made[ImageSet]
    models: dict[str, Made[Path]]
    body: Made[Classifier] | None
    asked: Training

    @property
    def id(self) -> str:
        """The id that its record has or will have."""
        return self.settings.id(self.inputs)


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
        self._prepared: dict[Cell, _Prepared] = {}

    def run(self, cell: Cell) -> TrialRecord:
        """The record of a cell: found, or made.

        Raises:
            Busy: another process is at it, or at something that it needs.
        """
        prepared = self.prepare(cell)
        if found := self.records.find(prepared.id):
            return found
        with self.workshop.cache.claim(f"{cell.attack}-{cell.defence}-{cell.seed}-{cell.case}"):
            found = self.records.find(prepared.id)  # from a process that was at it until just now
            if found is None:
                found = self._measure(prepared)
                self.records.add(found)
            return found

    def prepare(self, cell: Cell) -> _Prepared:
        """Everything up to the training of a cell; made, or looked for, once.

        Raises:
            Busy: another process is at something that it needs.
        """
        if cell not in self._prepared:
            self._prepared[cell] = self._prepare(cell)
        return self._prepared[cell]

    def _prepare(self, cell: Cell) -> _Prepared:
        attack, defence = self.suite.attacks[cell.attack], self.suite.defences[cell.defence]
        case = attack.each_case()[cell.case]
        resources = Resources(
            auxiliary=self.sets.get(attack.auxiliary),
            target_set=self.sets.get(attack.target_set),
            device=self.workshop.device,
        )
        parts = attack.parts(case) if attack.attack else []
        surrogates = [self._classifier(name) for name in attack.surrogates]
        poisoned = self.workshop.poison(parts, self.sets["train"], cell.seed, resources, surrogates)
        models = {field: self._model(name) for field, name in defence.models().items()}
        base = self.workshop.poison([], self.sets["train"], cell.seed)
        purified = self.workshop.purify(defence, models, poisoned, cell.seed, base=base)
        asked = self.suite.training_of(defence)
        body = None if asked.mode == "scratch" else self._classifier(asked.body)
        training = self.workshop.arithmetic.settle(training_settings(self.suite, defence))
        settings = TrialSettings(
            attack=cell.attack,
            defence=cell.defence,
            poison=poisoned.settings,
            purify=purified.settings,
            fit=models["model"].settings if "model" in models else {},
            fit_energy=models["energy"].settings if "energy" in models else None,
            train=self._describe(asked, training, body),
            seed=cell.seed,
            case=case or None,
        )
        inputs = {
            "poisoned": poisoned.digest,
            "purified": purified.digest,
            **{field: made.digest for field, made in models.items()},
            **({"body": body.digest} if body else {}),
            "test": self.sets["test"].content_hash,
        }
        return _Prepared(cell, settings, inputs, training, poisoned, purified, models, body, asked)

    def _describe(self, asked: Training, training: LoopSettings, body: Made[Classifier] | None) -> dict[str, Any]:
        """The training as settings of a trial tell it."""
        described = {"model": asked.model, **training.model_dump(mode="json")}
        if body:
            return {**described, "mode": asked.mode, "body": body.settings}
        return {**described, **own_facts(classifier=[asked.model])}

    def _model(self, name: str) -> Made[Path]:
        fitted = self.suite.models[name]
        return self.workshop.fit(fitted, self.sets[fitted.fit])

    def _classifier(self, name: str) -> Made[Classifier]:
        fitted = self.suite.classifiers[name]
        return self.workshop.train(fitted, self.sets[fitted.fit], self.sets[fitted.test])

    def _train(self, prepared: _Prepared) -> tuple[TrainedClassifier, float]:
        """Train on what the defence left of the cell's set; the seconds are those of purifying meanwhile."""
        asked, fresh = prepared.asked, self._fresh(prepared)
        with self.workshop.bar(f"train {asked.model}", "step", is_trial=True) as on_step:
            common: dict[str, Any] = {
                "test_set": self.sets["test"],
                "settings": prepared.training,
                "seed": prepared.cell.seed,
                "device": self.workshop.device,
                "redraw": fresh,
                "on_step": on_step,
            }
            if prepared.body is None or asked.mode == "scratch":
                trained = train(prepared.purified.value, model=asked.model, **common)
            else:
                trained = transfer(prepared.body.value, prepared.purified.value, mode=asked.mode, **common)
        return trained, fresh.seconds if fresh else 0.0

    def _fresh(self, prepared: _Prepared) -> FreshDraws | None:
        """What purifies in the training of a cell, if that is asked."""
        defence, epochs = self.suite.defences[prepared.cell.defence], prepared.training.epochs
        if defence.draws is None:
            return None
        run = self.workshop.order(defence, prepared.models, prepared.cell.seed)
        draws = defence.count_draws(epochs)
        return FreshDraws(prepared.purified.value, run, epochs=epochs, draws=draws, device=self.workshop.device)

    def _measure(self, prepared: _Prepared) -> TrialRecord:
        trained, purify_s = self._train(prepared)
        scored = score(trained, self.sets["test"])
        if not self.suite.attacks[prepared.cell.attack].attack:
            save_classifier(self._control_folder(prepared), trained)
        success, facts = self._score_attack(prepared, trained)
        seconds = {
            "poison": prepared.poisoned.seconds,
            "fit": sum(model.seconds for model in prepared.models.values()),
            "purify": prepared.purified.seconds + purify_s,
            "train": trained.seconds,
        }
        own, defence = prepared.settings.own(), self.suite.defences[prepared.cell.defence]
        return TrialRecord(
            id=prepared.id,
            suite=self.suite.name,
            settings=prepared.settings.as_json(),
            inputs=prepared.inputs,
            metrics={"accuracy": scored.accuracy, **success},
            details={
                "peak_accuracy": scored.peak,
                "per_class": {name: metric.value for name, metric in scored.per_class.items()},
                "train_images": len(prepared.purified.value),
                **({"draws": defence.count_draws(prepared.training.epochs)} if defence.draws is not None else {}),
                **({"poison": facts} if facts else {}),
                **({"own": own} if own else {}),
                **({"remakeable_from_record": False} if lies_in_objects(own) else {}),
            },
            versions=versions(),
            device=describe_device(choose_device(self.workshop.device)),
            precision=self.workshop.arithmetic.precision,
            seconds={name: round(value, 2) for name, value in seconds.items()},
        )

    def _score_attack(
        self, prepared: _Prepared, trained: TrainedClassifier
    ) -> tuple[dict[str, Metric], dict[str, Any]]:
        """How often the attack gets what it wants, here and from the control that never saw it; and its facts."""
        manifest = prepared.poisoned.manifest
        if manifest is None:
            return {}, {}
        facts = read_manifest(manifest).steps[-1].facts
        trigger, target = read_attack(manifest, trained.net.class_names)
        if trigger is None and target is None:
            return {}, facts
        metrics: dict[str, Metric] = {}
        for prefix, net in (("", trained.net), ("clean_", self._control(prepared.cell))):
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
        prepared = self.prepare(Cell(name, cell.defence, cell.seed))
        folder = self._control_folder(prepared)
        with self.workshop.cache.claim(f"control-{folder.name}"):
            if not (folder / WEIGHTS).exists():
                save_classifier(folder, self._train(prepared)[0])
            return load_classifier(folder).to(choose_device(self.workshop.device))

    def _control_folder(self, prepared: _Prepared) -> Path:
        """Where the classifier of a clean cell is kept for those that are compared with it."""
        return self.workshop.cache.folder / "controls" / prepared.id
