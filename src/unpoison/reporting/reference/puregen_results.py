"""PureGen's `Results.csv` as trial records, and their table."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from unpoison.core.errors import DataError, SettingsError
from unpoison.core.records import Metric, TrialRecord, trial_id
from unpoison.purifiers.puregen.keys import parse_key
from unpoison.reporting.reference.puregen_csv import ATTACKS, MODELS
from unpoison.scoring.intervals import share

_MODES = {"linear_transfer": "linear", "fine_tune_transfer": "fine-tune"}
_TEST_SETS = {"cifar10": (10_000, 10), "cinic10": (90_000, 10), "stl10": (8_000, 10), "tinyimagenet": (10_000, 200)}
_REMEDY = "Correct the row, or leave it out"


def read_results(path: Path) -> list[TrialRecord]:
    """The records of a `Results.csv`, one a row.

    Their settings have our names where we have the method. There is no clean control and nothing is known of versions.
    Success with a trigger is a mean over batches there, so that its interval is near the true one.

    Raises:
        DataError: it has not the columns, or a row holds what they cannot mean.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = sorted({"Data Key", "Model", "Dataset", "End Acc"} - set(reader.fieldnames or ()))
            if missing:
                raise DataError(path, f"it has no column '{missing[0]}'", "Name a Results.csv of PureGen")
            return [_Row(path, number, cells).record() for number, cells in enumerate(reader, start=2)]
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(path, f"it is no table of text ({error})", "Name a Results.csv of PureGen") from None
    except OSError as error:
        raise DataError(path, f"the file cannot be read ({error.strerror})", "Check the path") from None


class _Row:
    """One line of the table.

    Args:
        path: the file, for errors.
        number: the line, for errors.
        cells: column -> text.
    """

    def __init__(self, path: Path, number: int, cells: Mapping[str, str | None]):
        self._path, self._number = path, number
        self._cells = {column: text for column, text in cells.items() if isinstance(text, str) and text}
        self._args, self._logs = self._json("Args"), self._json("Logs")

    def record(self) -> TrialRecord:
        """The line as a record."""
        accuracy, test_images, others = self._share("End Acc"), *self._denominators()
        metrics = {"accuracy": _measured(accuracy, test_images)}
        details: dict[str, Any] = {"peak_accuracy": max([accuracy, *self._curve()]), "per_class": {}}
        for scale in (1, 2):
            if f"P{scale} Acc" in self._cells:
                metrics[f"success_x{scale}"] = _measured(self._share(f"P{scale} Acc"), others)
            if f"T{scale} Acc" in self._cells:
                details[f"true_class_x{scale}"] = self._share(f"T{scale} Acc")
        if "Success" in self._cells:
            metrics["success"] = share(self._truth("Success"), 1)
        if "Correct Pred" in self._cells:
            details["true_class"] = self._truth("Correct Pred")
        settings = self._settings()
        return TrialRecord(
            id=trial_id(settings, {}),
            suite="puregen-results",
            settings=settings,
            inputs={},
            metrics=metrics,
            details=details,
            versions={},
            device=str(self._args.get("device_type", "unknown")),
            seconds={"train": self._number_in("Train Time", 0.0)},
        )

    def _settings(self) -> dict[str, Any]:
        args, target = self._args, int(self._number_in("Target Index", 0))
        attack = str(args.get("poison_type", self._likely_attack()))
        seed = self._integer("seed", 11)
        links = self._links()
        # A config file makes texts of them.
        extra = {name: args.get(name) for name in ("baseline_defense", "ebm_filter")}
        extra = {name: value for name, value in extra.items() if value not in (None, "None")}
        defence = [self._cells["Data Key"]]
        if "baseline_defense" in extra:
            defence.append(str(extra["baseline_defense"]))
        if "ebm_filter" in extra:
            defence.append(f"Filt[{extra['ebm_filter']}]")
            links = self._filtered(links, extra["ebm_filter"])
        model = self._cells.get("Model", "")
        epochs = {"epochs": self._integer("epochs", 0)} if "epochs" in args else {}
        case = {"target_class" if "P1 Acc" in self._cells else "target_index": target}
        return {
            "attack": attack,
            "defence": "+".join(defence),
            "dataset": self._cells.get("Dataset", ""),
            "poison": {"attack": ATTACKS.get(attack, attack), **self._budget()},
            "purify": {"method": "+".join(links), **links} if links else {},
            "train": {
                "model": MODELS.get(model, model),
                "mode": _MODES.get(str(args.get("poison_mode")), "scratch"),
                **epochs,
            },
            "seed": seed + target if attack == "NeuralTangent" else seed,
            **({} if attack == "NeuralTangent" else {"case": case}),
            "reference": {"model": model, **{name: self._cells.get(name, "") for name in ("Exp Name", "Calc Time")}},
        }

    def _links(self) -> dict[str, dict[str, Any]]:
        try:
            return parse_key(self._cells.get("Data Key", "")).links
        except SettingsError as error:
            raise self._wrong(str(error)) from None

    def _filtered(self, links: dict[str, dict[str, Any]], fraction: Any) -> dict[str, dict[str, Any]]:
        """The purifiers where only a share of the set was taken from the purified one: `puregen-filt`, if one says it.

        The reference ranks poisons by their energy after purification, `puregen-filt` by that before.
        """
        try:
            value = float(fraction)
        except (TypeError, ValueError):
            value = float("nan")
        if not 0 <= value <= 1:
            raise self._wrong(f"ebm_filter in Args is {str(fraction)[:20]!r}, not a share from 0 to 1")
        ((name, fields),) = links.items() if len(links) == 1 else (("", {}),)
        counts = {
            "puregen-ebm": {"langevin_steps": fields.get("steps"), "t": 0},
            "puregen-ddpm": {"langevin_steps": 0, "t": fields.get("t")},
            "puregen-naive": {"langevin_steps": fields.get("langevin_steps"), "t": fields.get("t")},
        }.get(name)
        if counts is None or "reverse_only" in fields:
            return links
        temperature = {"temperature": fields["temperature"]} if "temperature" in fields else {}
        return {"puregen-filt": {"fraction": value, **counts, **temperature}}

    def _budget(self) -> dict[str, Any]:
        if "P1 Acc" not in self._cells or "noise_eps_narcissus" not in self._args:
            return {}
        images = {"images": self._integer("num_images_narcissus", 0)} if "num_images_narcissus" in self._args else {}
        return {"epsilon": f"{self._integer('noise_eps_narcissus', 0)}/255", **images}

    def _likely_attack(self) -> str:
        if "P1 Acc" in self._cells:
            return "Narcissus"
        return "triggerless" if "Success" in self._cells else "availability"

    def _denominators(self) -> tuple[int, int]:
        """How many test images there are, and how many of other classes than the target's."""
        dataset = self._cells.get("Dataset", "")
        if dataset not in _TEST_SETS:
            raise self._wrong(f"the data set '{dataset[:40]}' is none of {', '.join(_TEST_SETS)}")
        images, classes = _TEST_SETS[dataset]
        return images, images - images // classes

    def _share(self, column: str) -> float:
        value = self._number_in(column, None)
        if not 0 <= value <= 1:
            raise self._wrong(f"{column} is {value:g}, not a share from 0 to 1")
        return value

    def _number_in(self, column: str, missing: float | None) -> float:
        text = self._cells.get(column)
        if text is None and missing is not None:
            return missing
        try:
            value = float(text or "")
        except ValueError:
            value = float("nan")
        if not abs(value) < 1e12:
            raise self._wrong(f"{column} is no number")
        return value

    def _truth(self, column: str) -> bool:
        text = self._cells[column]
        if text not in ("True", "False"):
            raise self._wrong(f"{column} is neither True nor False")
        return text == "True"

    def _integer(self, name: str, missing: int) -> int:
        value = self._args.get(name, missing)
        if not isinstance(value, int) or not 0 <= value < 2**63:
            raise self._wrong(f"{name} in Args is no whole number")
        return value

    def _json(self, column: str) -> dict[str, Any]:
        try:
            value = json.loads(self._cells.get(column, "{}"))
        except (ValueError, RecursionError):
            raise self._wrong(f"{column} is not JSON") from None
        if not isinstance(value, dict):
            raise self._wrong(f"{column} is no JSON object")
        return value

    def _curve(self) -> list[float]:
        curve = self._logs.get("test_acc", [])
        if not isinstance(curve, list) or not all(isinstance(x, (int, float)) and 0 <= x <= 1 for x in curve):
            raise self._wrong("test_acc in Logs is no list of shares")
        return curve

    def _wrong(self, problem: str) -> DataError:
        return DataError(self._path, problem, _REMEDY, record=f"line {self._number}")


def _measured(value: float, n: int) -> Metric:
    """A published share with the Wilson interval of the nearest count."""
    interval = share(round(value * n), n)
    return Metric(value=value, n=n, low=min(value, interval.low), high=max(value, interval.high))


def results_table(records: Sequence[TrialRecord]) -> str:
    """Accuracy and success in %, one line for each attack, classifier and defence.

    Mean and standard deviation (with n - 1 below) are over the targets or target classes, as in the paper; success with
    a trigger is that of the trigger as it is, times 1.
    """
    groups: dict[tuple[str, ...], list[TrialRecord]] = defaultdict(list)
    for record in records:
        settings = record.settings
        mode, model = settings["train"]["mode"], settings["reference"]["model"]
        groups[settings["dataset"], settings["attack"], mode, model, settings["defence"]].append(record)
    lines = [
        "| data set | attack | training | classifier | data key | trainings | accuracy | success | highest |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for names, group in groups.items():
        accuracy = [record.metrics["accuracy"].value for record in group]
        success = [
            record.metrics[name].value
            for record in group
            for name in ("success_x1", "success")
            if name in record.metrics
        ]
        highest = f"{100 * max(success):.2f}" if success and "success_x1" in group[0].metrics else "-"
        shown = [*names, str(len(group)), _spread(accuracy), _spread(success) if success else "-", highest]
        lines.append(f"| {' | '.join(' '.join(cell.replace('|', ' ').split()) for cell in shown)} |")
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float]) -> str:
    deviation = f" ± {100 * stdev(values):.2f}" if len(values) > 1 else ""
    return f"{100 * fmean(values):.2f}{deviation}"
