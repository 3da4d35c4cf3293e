"""The records of a suite as PureGen's tables, in its folders: `From_Scratch/Narcissus/Results.csv` and so on."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unpoison.core.chains import split_chain
from unpoison.core.records import TrialRecord
from unpoison.purifiers.puregen.keys import compose_key, key_of
from unpoison.reporting.grid import Grid
from unpoison.reporting.reference.datasets import dataset_name
from unpoison.reporting.reference.puregen_csv import ATTACKS, AVAILABILITY, MODELS, PURIFY_TIMES, TARGETED, TRIGGERED

_MODELS = {ours: theirs for theirs, ours in reversed(MODELS.items())}
_ATTACKS = {ours: theirs for theirs, ours in reversed(ATTACKS.items())}
_MODES = {"linear": "Linear_Transfer", "fine-tune": "Fine_Tune_Transfer"}


@dataclass(frozen=True)
class Table:
    """One table.

    Args:
        columns: its header.
        rows: column -> value; what is not measured here is left out.
    """

    columns: Sequence[str]
    rows: list[dict[str, Any]]


def puregen_tables(grid: Grid) -> dict[str, Table]:
    """The trials that a data key can tell apart: undefended, or purified by JPEG or PureGen's methods.

    Returns:
        Path below the folder of results -> table; empty for a suite without triggers, targets or PureGen's purifiers.
    """
    kept = [(record, key) for record in grid.records if (key := _data_key(grid, record)) is not None]
    if not any(_is_theirs(record) for record, _ in kept):
        return {}
    defences = list(grid.suite.defences)
    kept.sort(key=lambda pair: (defences.index(pair[0].settings["defence"]), _target(grid, pair[0])))
    groups: dict[tuple[str, Sequence[str]], list[dict[str, Any]]] = defaultdict(list)
    for record, key in kept:
        folder = "/".join(name.title() for name in _place(record))
        groups[f"{folder}/Results.csv", _columns(record)].append(_row(grid, record, key))
    tables = {path: Table(columns, rows) for (path, columns), rows in groups.items()}
    times = [_time(grid, record, key) for record, key in kept if record.seconds.get("purify")]
    return {**tables, "PurifyTimes.csv": Table(PURIFY_TIMES, times)} if times else tables


def _data_key(grid: Grid, record: TrialRecord) -> str | None:
    if grid.suite.defences[record.settings["defence"]].changes_training():
        return None  # a defence of the training, which no data key names
    purify: Mapping[str, Any] = record.settings["purify"]
    key = key_of({name: purify[name] for name in filter(None, split_chain(purify.get("method", "")))})
    return None if key is None else compose_key(key)


def _is_theirs(record: TrialRecord) -> bool:
    return _columns(record) is not AVAILABILITY or "puregen-" in record.settings["purify"].get("method", "")


def _columns(record: TrialRecord) -> tuple[str, ...]:
    if "success_x1" in record.metrics:
        return TRIGGERED
    return TARGETED if "success" in record.metrics else AVAILABILITY


def _place(record: TrialRecord) -> tuple[str, str]:
    attack = record.settings["poison"].get("attack", "Clean")
    return _MODES.get(record.settings["train"].get("mode", ""), "From_Scratch"), _ATTACKS.get(attack, attack)


def _row(grid: Grid, record: TrialRecord, key: str) -> dict[str, Any]:
    model = record.settings["train"]["model"]
    row: dict[str, Any] = {
        "Data Key": key,
        "Model": _MODELS.get(model, model),
        "Dataset": dataset_name(grid.suite, record),
        "Target Index": _target(grid, record),
        "End Acc": record.metrics["accuracy"].value,
        "Exp Name": f"{record.settings['attack']} / {record.settings['defence']}",
        "Train Time": record.seconds["train"],
        "Args": json.dumps({**_their_arguments(record), **record.settings}, ensure_ascii=False),
        "Logs": "{}",
    }
    if "success" in record.metrics:
        row["Success"] = bool(record.metrics["success"].value)
    for scale in (1, 2):
        if f"success_x{scale}" in record.metrics:
            row[f"P{scale} Acc"] = record.metrics[f"success_x{scale}"].value
    return row


def _their_arguments(record: TrialRecord) -> dict[str, Any]:
    """What a reader of their tables looks up in Args, under their names."""
    mode, attack = _place(record)
    epochs = record.settings["train"].get("epochs")
    return {"poison_type": attack, "poison_mode": mode.lower(), **({} if epochs is None else {"epochs": epochs})}


def _time(grid: Grid, record: TrialRecord, key: str) -> dict[str, Any]:
    arguments = json.dumps(record.settings["purify"], ensure_ascii=False)
    return {
        "Data Key": key,
        "Dataset": dataset_name(grid.suite, record),
        "Purify Time": record.seconds["purify"],
        "Args": arguments,
    }


def _target(grid: Grid, record: TrialRecord) -> int:
    """The number of the target class, or of the attack's case; without cases the seed, as PureGen repeats by it."""
    case = record.settings.get("case")
    if not case:
        seed: int = record.settings["seed"]
        return seed
    names = list(record.details.get("per_class", {}))
    if case.get("target_class") in names:
        return names.index(case["target_class"])
    return grid.suite.attacks[record.settings["attack"]].each_case().index(case)
