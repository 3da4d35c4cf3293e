"""Making a set again from its manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unpoison.core.device import versions
from unpoison.core.errors import ModelError, RunError
from unpoison.core.hashing import hash_file
from unpoison.core.images import ImageSet
from unpoison.core.manifest import Step, read_manifest
from unpoison.core.progress import OnStep
from unpoison.data import read
from unpoison.poisons.crafting import attack_settings, poison, write_poisoned
from unpoison.purifiers.building import purifier_settings
from unpoison.purifiers.runner import purify_in_memory, purify_to
from unpoison.purifiers.work import PurifyRun


@dataclass(frozen=True)
class Comparison:
    """The set made again beside the one in the manifest.

    Args:
        same: whether both have the same pixels and labels.
        pixels: values that differ; None if the first set is no longer there to compare with, or nothing differs.
        largest: largest difference of a value, in levels.
        versions: package -> (then, now), where they differ.
    """

    same: bool
    pixels: int | None
    largest: int | None
    versions: dict[str, tuple[str, str]]

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    def describe(self) -> str:
        """In words."""
        if self.same:
            return "the same set, pixel for pixel"
        changed = ", ".join(f"{name} {then} -> {now}" for name, (then, now) in self.versions.items())
        why = f" (versions differ: {changed})" if changed else " (other device or kind of processor?)"
        if self.pixels is None:
            return f"another set than the manifest's{why}; the first one is not there to compare with"
        return f"{self.pixels} values differ, by at most {self.largest} levels{why}"


def remake(
    path: Path,
    target: Path,
    *,
    source: str | None = None,
    models: Sequence[Path] = (),
    device: str = "auto",
    on_step: OnStep | None = None,
) -> Comparison:
    """Run the steps of a manifest again, from wherever in its history the source stands.

    Args:
        path: the manifest.
        target: new folder or file.
        source: a set that occurs in the history; the one named in the manifest, beside it, if left out.
        models: weight files that the steps used; searched beside the manifest too.
        device: where to compute.
        on_step: called as the last step goes on.

    Raises:
        RunError: the target exists, or the source does not occur in the history.
        ModelError: a weight file is missing or is another one.
    """
    manifest = read_manifest(path)
    made = path.parent if path.name == "manifest.json" else path.with_name(path.name.removesuffix(".manifest.json"))
    if target.exists():
        raise RunError(f"{target} is already there; remove it or choose another name")
    image_set = read(source or str(_beside(made, manifest.name)))
    steps = _steps_from(image_set, manifest.steps, manifest.name)
    weights = {file.name: file for file in (*made.parent.glob("*.safetensors"), *models)}
    for step in steps[:-1]:
        image_set = _do(step, image_set, weights, device)
    history = manifest.steps[: len(manifest.steps) - len(steps)] + steps[:-1]
    last = steps[-1]
    if last.action == "poison":
        result = _poison(last, image_set)
        write_poisoned(result, image_set, target, history=history)
    else:
        purify_to(image_set, target, _run(last, weights), device=device, history=history, on_step=on_step)
    return _compare(read(str(target)), last, made)


def _beside(made: Path, name: str) -> Path:
    found = made.parent / name
    if not found.exists():
        raise RunError(f"the source '{name}' is not beside {made.name}; name it with --source")
    return found


def _steps_from(image_set: ImageSet, steps: list[Step], name: str) -> list[Step]:
    """The steps that still have to be done to this set."""
    start = next((number for number, step in enumerate(steps) if step.source == image_set.content_hash), None)
    if start is None:
        raise RunError(
            f"{image_set.name} does not occur in the history of this set (its pixels or labels are others than those "
            f"of '{name}'); name the right one with --source"
        )
    return steps[start:]


def _do(step: Step, image_set: ImageSet, weights: dict[str, Path], device: str) -> ImageSet:
    if step.action == "poison":
        return _poison(step, image_set).image_set
    return purify_in_memory(image_set, _run(step, weights), device=device)[0]


def _poison(step: Step, image_set: ImageSet):
    fields = dict(step.settings)
    fraction = fields.pop("fraction")
    settings = attack_settings(step.method, overrides=fields)
    return poison(image_set, step.method, settings=settings, fraction=fraction, seed=step.seed)


def _run(step: Step, weights: dict[str, Path]) -> PurifyRun:
    overrides: dict[str, Any] = {}
    for link in step.method.split("+"):
        fields = dict(step.settings[link])
        if fields.get("model"):
            fields["model"] = str(_find_weights(fields["model"], step.weights[fields["model"]], weights))
        prefix = f"{link}." if "+" in step.method else ""
        overrides.update({f"{prefix}{name}": value for name, value in fields.items()})
    settings = purifier_settings(step.method, overrides=overrides)
    return PurifyRun(settings, seed=step.seed, microbatch=step.settings["microbatch"])


def _find_weights(name: str, digest: str, weights: dict[str, Path]) -> Path:
    for path in weights.values():
        if path.is_file() and hash_file(path) == digest:
            return path
    raise ModelError(f"the run used the weights {name} (sha256 {digest[:16]}...); name that file with --model")


def _compare(again: ImageSet, step: Step, made: Path) -> Comparison:
    now = versions()
    changed = {name: (then, now[name]) for name, then in step.versions.items() if now.get(name) != then}
    if again.content_hash == step.result:
        return Comparison(True, None, None, changed)
    if not made.exists():
        return Comparison(False, None, None, changed)
    first = read(str(made))
    pixels = largest = 0
    for row in range(len(first)):
        before, after = first.picture(row).rgb, again.picture(row).rgb
        difference = np.abs(after.astype(np.int16) - before)
        pixels += int((difference > 0).sum())
        largest = max(largest, int(difference.max(initial=0)))
    return Comparison(False, pixels, largest, changed)
