"""Trigger and target of an attack, as they were left beside its manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from unpoison.core.classes import match_labels
from unpoison.core.errors import DataError
from unpoison.core.manifest import read_manifest
from unpoison.poisons.protocol import Target, Trigger

# What NumPy raises on a header that is cut short, too long, or claims more than the file holds.
_BROKEN = (ValueError, TypeError, KeyError, OverflowError, OSError, EOFError, TokenError)

F = TypeVar("F", bound=BaseModel)


class _TriggerFacts(BaseModel):
    """What a manifest says of a trigger."""

    target_class: int = Field(ge=0)
    mode: Literal["add", "patch"]
    top: int = Field(ge=0)
    left: int = Field(ge=0)


class _TargetFacts(BaseModel):
    """What a manifest says of a target."""

    index: int | None
    true_class: int = Field(ge=0)
    intended_class: int = Field(ge=0)


def read_attack(manifest_path: Path, class_names: Sequence[str]) -> tuple[Trigger | None, Target | None]:
    """What sets off an attack, and what it wants misread, from the files that `write_poisoned` made.

    Args:
        manifest_path: manifest of a poisoned set; `trigger.npy` and `target.npy` are looked for beside it.
        class_names: of the classifier that is attacked; the classes of trigger and target are numbered like them.

    Returns:
        The trigger of a triggered attack, and the target of a triggerless one; None for what there is not.

    Raises:
        DataError: the set was not poisoned, or a file is missing, broken or does not fit the manifest.
        SettingsError: the classifier does not know a class.
    """
    manifest = read_manifest(manifest_path)
    steps = [step for step in manifest.steps if step.action == "poison"]
    if not steps:
        raise DataError(manifest_path, "it tells of no poison", "Name the manifest of a poisoned set")
    attacks = [steps[-1].facts, *(part for part in steps[-1].facts.values() if isinstance(part, dict))]
    trigger, target = (next((a[name] for a in attacks if a.get(name)), None) for name in ("trigger", "target"))
    known = tuple(manifest.per_class)

    def number(label: int) -> int:
        if label >= len(known):
            raise DataError(manifest_path, f"it has no class {label}", "Poison the set again")
        named = {"name": f"the set of {manifest_path}", "wanted_by": "the classifier"}
        return int(match_labels(np.array([label]), known, tuple(class_names), **named)[0])

    return (
        None if trigger is None else _read_trigger(manifest_path, trigger, number),
        None if target is None else _read_target(manifest_path, target, number),
    )


def _read_trigger(manifest_path: Path, found: Any, number: Callable[[int], int]) -> Trigger:
    facts = _validate(_TriggerFacts, found, manifest_path)
    path = _beside(manifest_path, "trigger.npy")
    delta = _read_array(path)
    if delta.dtype.kind != "f" or delta.ndim != 3 or delta.shape[2] != 3:
        raise DataError(path, f"the trigger is {delta.dtype} {list(delta.shape)}", "It must be float32 [h, w, 3]")
    if not np.isfinite(delta).all():
        raise DataError(path, "the trigger holds values that are not finite", "Poison the set again")
    return Trigger(delta.astype(np.float32), **{**facts.model_dump(), "target_class": number(facts.target_class)})


def _read_target(manifest_path: Path, found: Any, number: Callable[[int], int]) -> Target:
    facts = _validate(_TargetFacts, found, manifest_path)
    path = _beside(manifest_path, "target.npy")
    image = _read_array(path)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise DataError(path, f"the target is {image.dtype} {list(image.shape)}", "It must be uint8 [h, w, 3]")
    return Target(image, number(facts.true_class), number(facts.intended_class), facts.index)


def _read_array(path: Path) -> np.ndarray:
    try:
        # Mapped, so that no memory is taken that the file does not hold; arrays of objects are refused.
        return np.array(np.lib.format.open_memmap(path, mode="r"))
    except _BROKEN as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(path, f"the array is broken ({reason})", "Poison the set again") from None


def _validate(model: type[F], found: Any, manifest_path: Path) -> F:
    try:
        return model.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise DataError(
            manifest_path, f"what it says of the attack is wrong ({field}: {first['msg']})", "Poison the set again"
        ) from None


def _beside(manifest_path: Path, name: str) -> Path:
    """The attack's file that belongs to a manifest: `trigger.npy`, or `X.trigger.npy` of a set X."""
    path = manifest_path.with_name(manifest_path.name.removesuffix("manifest.json") + name)
    if not path.is_file():
        raise DataError(
            path, "the manifest tells of it, and it is not there", "Name the manifest that the attack itself wrote"
        )
    return path
