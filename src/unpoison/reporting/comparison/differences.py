"""Differences between the setting of a cell and that of a published figure, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from unpoison.classify.defences.methods import METHODS as DEFENCES
from unpoison.classify.defences.methods import load_defence
from unpoison.core.settings import bound_value
from unpoison.poisons.methods import METHODS as ATTACKS
from unpoison.poisons.mixture import attack_settings
from unpoison.purifiers.methods import SETTINGS as PURIFIERS
from unpoison.purifiers.settings import purifier_settings
from unpoison.reporting.comparison.cells import OurCell
from unpoison.reporting.reference.published import NOT_STATED, Figure

# Of the machine, of the case, or said elsewhere.
_SKIPPED = {"precision", "model", "energy", "target_class", "target_index", "intended_class", "setup", "setups"}


def is_same(ours: Any, theirs: Any) -> bool:
    """Whether two values of a setting are equal; a bound may be written as a fraction."""
    if theirs == NOT_STATED:
        return True
    if isinstance(ours, str) and isinstance(theirs, str) and "/" in ours + theirs:
        return math.isclose(bound_value(ours), bound_value(theirs))
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)):
        return math.isclose(ours, theirs)
    return bool(ours == theirs)


def list_differences(ours: OurCell, figure: Figure) -> list[str]:
    """Everything in which a cell's setting differs from that of a figure, ours first."""
    setting = figure.setting
    counts = [
        ("training pictures", ours.record.details.get("train_images"), setting.images),
        ("test pictures", ours.record.metrics["accuracy"].n, setting.test_images),
    ]
    found = []
    if setting.dataset and setting.dataset != ours.dataset:
        found.append(f"pictures of {ours.dataset}, not {setting.dataset}")
    found += [f"{one:,} {name}, not {other:,}" for name, one, other in counts if one and other and one != other]
    # Trainings with a target each are told by their number of targets.
    if setting.trainings and ours.cell.success is None and ours.trainings != setting.trainings:
        found.append(f"trainings: {ours.trainings}, not {setting.trainings}")
    found += _compared(ours.train, {**setting.train, **figure.of_defence.train})
    found += _of_poison(ours, figure)
    found += _of_purifier(ours, figure)
    found += _of_defence(ours, figure)
    return [*found, *([setting.note] if setting.note else [])]


def _of_poison(ours: OurCell, figure: Figure) -> Iterator[str]:
    """A poison's settings against those of its own paper, which are its defaults, and what the figure's paper says."""
    if not ours.attack:
        return
    theirs = figure.of_attack.set
    if ours.attack in ATTACKS:
        theirs = {**attack_settings(ours.attack).model_dump(mode="json"), **theirs}
    yield from _compared(ours.poison, theirs, of="poison: ")
    share, published = ours.share, figure.of_attack.share
    if share is not None and published is not None and not math.isclose(share, published, rel_tol=0.05):
        yield f"{100 * share:.3g} % of the pictures poisoned, not {100 * published:.3g} %"


def _of_purifier(ours: OurCell, figure: Figure) -> Iterator[str]:
    if not ours.purifier:
        return
    theirs: dict[str, Any] = {}
    if ours.purifier in PURIFIERS:
        settings = purifier_settings(ours.purifier)[ours.purifier]
        theirs = settings.model_dump(mode="json")
    yield from _compared(ours.purify, {**theirs, **figure.of_defence.set}, of=f"{ours.purifier}: ")
    if (draws := ours.record.settings["purify"].get("draws")) is not None:
        yield f"purified while it is trained, {draws} draws, not once before"
    if ours.fit:
        yield from _compared(ours.fit, figure.purifier.fit, of="fit: ")
    if figure.purifier.network:
        fitted = "one that the suite fitted" if ours.fit else ours.purify.get("model", "its own")
        yield f"network: {fitted}, not {figure.purifier.network}"


def _of_defence(ours: OurCell, figure: Figure) -> Iterator[str]:
    """A train-time defence's settings against its defaults, and what the figure's paper says."""
    if ours.defence_settings and ours.defence in DEFENCES:
        theirs = load_defence(ours.defence).Settings().model_dump(mode="json")
        yield from _compared(ours.defence_settings, {**theirs, **figure.of_defence.set}, of=f"{ours.defence}: ")


def _compared(ours: Mapping[str, Any], theirs: Mapping[str, Any], *, of: str = "") -> Iterator[str]:
    for field, value in theirs.items():
        if field in (_SKIPPED if of else _SKIPPED - {"model"}):
            continue
        if value == NOT_STATED:
            yield f"{of}{field} {_show(ours.get(field))}, theirs is not stated"
        elif field in ours and not is_same(ours[field], value):
            yield f"{of}{_words(field)} {_show(ours[field])}, not {_show(value)}"


def _words(field: str) -> str:
    return field.replace("_", " ")


def _show(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "on", False: "off", None: "none"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
