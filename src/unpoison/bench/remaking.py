"""A set made again from its manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unpoison.classify.classifier import Classifier
from unpoison.classify.saving import hash_classifier, load_classifier
from unpoison.core.chains import join_fields, split_chain
from unpoison.core.errors import ModelError, RunError
from unpoison.core.hashing import hash_file
from unpoison.core.images import ImageSet
from unpoison.core.manifest import Step, manifest_path, read_manifest
from unpoison.core.methods import trusting
from unpoison.core.progress import OnStep
from unpoison.core.settings import file_fields
from unpoison.data import read, refuse_existing
from unpoison.nets.shipped import SHIPPED
from unpoison.poisons.crafting import PoisonResult, poison_mixture, write_poisoned
from unpoison.poisons.mixture import read_mixture
from unpoison.poisons.protocol import Resources
from unpoison.purifiers.settings import purifier_settings, settings_model
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.run import PurifyRun
from unpoison.runs.to_files import purify_to


@dataclass(frozen=True)
class Comparison:
    """The set made again beside the one in the manifest.

    Args:
        same: whether both have the same pixels and labels.
        pixels: values that differ; None if the first set is no longer there to compare with, or nothing differs.
        largest: largest difference of a value, in levels.
        versions: package -> (then, now), where they differ.
        machine: `device` and `processor` -> (then, now), where they differ.
    """

    same: bool
    pixels: int | None
    largest: int | None
    versions: dict[str, tuple[str, str]]
    machine: dict[str, tuple[str, str]]

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    def describe(self) -> str:
        """In words."""
        if self.same:
            return "the same set, pixel for pixel"
        differ = {**self.versions, **self.machine}.items()
        changed = ", ".join(f"{name} {then or 'unknown'} -> {now}" for name, (then, now) in differ)
        why = f" ({changed})" if changed else ""
        if self.pixels is None:
            return f"another set than the manifest's{why}; the first one is not there to compare with"
        return f"{self.pixels} values differ, by at most {self.largest} levels{why}"


def remake(
    path: Path,
    target: Path,
    *,
    source: str | None = None,
    models: Sequence[Path] = (),
    others: Sequence[str] = (),
    trusted: Sequence[str] = (),
    device: str = "auto",
    on_step: OnStep | None = None,
) -> Comparison:
    """Run the steps of a manifest again, from wherever in its history the source stands.

    Args:
        path: the manifest.
        target: new folder or file.
        source: a set that occurs in the history; the one named in the manifest, beside it, if left out.
        models: weight files, and folders of classifiers, that the steps used; searched beside the manifest too.
        others: further sets that an attacker used, e.g. the one with the target picture.
        trusted: methods `package.module:Class` of the manifest whose code may be imported.
        device: where to compute.
        on_step: called as the last step goes on.

    Raises:
        RunError: the target exists, or the source does not occur in the history.
        ModelError: a weight file is missing or is another one.
    """
    manifest = read_manifest(path)
    made = path.parent if path.name == "manifest.json" else path.with_name(path.name.removesuffix(".manifest.json"))
    refuse_existing(target)
    image_set = read(source or str(_beside(made, manifest.name)))
    steps = _steps_from(image_set, manifest.steps, manifest.name)
    materials = _Materials([*made.parent.glob("*.safetensors"), *models], [read(other) for other in others], device)
    history = manifest.steps[: len(manifest.steps) - len(steps)] + steps[:-1]
    last = steps[-1]
    with trusting(trusted):
        for step in steps[:-1]:
            image_set = _do(step, image_set, materials)
        if last.action == "poison":
            result = _poison(last, image_set, materials)
            write_poisoned(result, image_set, target, history=history)
        else:
            purify_to(image_set, target, _run(last, materials), device=device, history=history, on_step=on_step)
    return _compare(read(str(target)), read_manifest(manifest_path(target)).steps[-1], last, made)


def _beside(made: Path, name: str) -> Path:
    found = made.parent / name
    if Path(name).name != name or not found.exists():
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


@dataclass(frozen=True)
class _Materials:
    """What the steps may have used besides their source.

    Args:
        paths: weight files and folders of classifiers.
        sets: further image sets.
        device: where to compute.
    """

    paths: Sequence[Path]
    sets: Sequence[ImageSet]
    device: str

    def file(self, name: str, digest: str) -> str:
        """The path of a file with this content."""
        for path in self.paths:
            if path.is_file() and hash_file(path) == digest:
                return str(path)
        raise ModelError(f"the run used the file {name} (sha256 {digest[:16]}...); name that file with --model")

    def classifier(self, digest: str) -> Classifier:
        """The classifier with these weights."""
        for path in self.paths:
            if path.is_dir() and hash_classifier(found := load_classifier(path)) == digest:
                return found
        raise ModelError(f"the attack used a classifier (sha256 {digest[:16]}...); name its folder with --model")

    def image_set(self, used: Any) -> ImageSet | None:
        """The further set that a step tells of; None if it tells of none."""
        if used is None:
            return None
        if not isinstance(used, Mapping) or not {"name", "hash"} <= used.keys():
            raise RunError("the manifest tells of a further set without its name and hash; it is no run's own")
        for found in self.sets:
            if found.content_hash == used["hash"]:
                return found
        raise RunError(f"the attack used the set '{used['name']}' too; name it with --with")


def _do(step: Step, image_set: ImageSet, materials: _Materials) -> ImageSet:
    if step.action == "poison":
        return _poison(step, image_set, materials).image_set
    return purify_in_memory(image_set, _run(step, materials), device=materials.device)[0]


def _poison(step: Step, image_set: ImageSet, materials: _Materials) -> PoisonResult:
    if step.method.startswith("published:"):
        raise RunError(
            f"the set was read from a published file ({step.method}); apply that file again with `poison --from`"
        )
    names = split_chain(step.method)
    fields = join_fields({name: _settings_of(name, step) for name in names}) if len(names) > 1 else step.settings
    files = {name: materials.file(name, digest) for name, digest in step.weights.items() if "surrogate-" not in name}
    fields = _name_files(fields, files)
    resources = Resources(
        surrogates=[materials.classifier(digest) for name, digest in step.weights.items() if "surrogate-" in name],
        auxiliary=materials.image_set(step.facts.get("auxiliary")),
        target_set=materials.image_set(step.facts.get("target_set")),
        device=materials.device,
    )
    return poison_mixture(image_set, read_mixture(step.method, overrides=fields), seed=step.seed, resources=resources)


def _name_files(value: Any, paths: Mapping[str, str]) -> Any:
    """Settings with the path of every file in place of its name; some lie in settings within the settings."""
    if isinstance(value, Mapping):
        return {key: _name_files(inner, paths) for key, inner in value.items()}
    return paths.get(value, value) if isinstance(value, str) else value


def _run(step: Step, materials: _Materials) -> PurifyRun:
    of_each: dict[str, dict[str, Any]] = {}
    for link in split_chain(step.method):
        fields = dict(_settings_of(link, step))
        for field in file_fields(settings_model(link)):
            name = fields.get(field)
            if not isinstance(name, str):  # there is none, or the settings will refuse it
                continue
            if name in step.weights:
                fields[field] = materials.file(name, step.weights[name])
            elif name not in SHIPPED:  # else the manifest of a stranger chose which file of ours is opened
                raise RunError(f"the manifest does not tell the hash of the weights '{name}' that {link} used")
        of_each[link] = fields
    settings = purifier_settings(step.method, overrides=join_fields(of_each))
    counts = {"microbatch": step.settings.get("microbatch", 0), "copies": step.settings.get("copies", 1)}
    return PurifyRun(settings, seed=step.seed, **counts)


def _settings_of(method: str, step: Step) -> dict[str, Any]:
    """What a step tells of one of its methods."""
    found = step.settings.get(method)
    if not isinstance(found, dict):
        raise RunError(f"the manifest has no settings of '{method}', which its step '{step.method}' names")
    return found


def _compare(again: ImageSet, remade: Step, step: Step, made: Path) -> Comparison:
    """Compare what was made again with what a step of old tells, and with the set that it made, if that is there."""
    changed = {
        name: (then, now)
        for name, then in step.versions.items()
        if (now := remade.versions.get(name, "not used")) != then
    }
    machine = {
        name: (getattr(step, name), getattr(remade, name))
        for name in ("device", "processor")
        if getattr(step, name) != getattr(remade, name)
    }
    if again.content_hash == step.result:
        return Comparison(True, None, None, changed, machine)
    if not made.exists():
        return Comparison(False, None, None, changed, machine)
    first = read(str(made))
    pixels = largest = 0
    for row in range(len(first)):
        before, after = first.picture(row).rgb, again.picture(row).rgb
        difference = np.abs(after.astype(np.int16) - before)
        pixels += int((difference > 0).sum())
        largest = max(largest, int(difference.max(initial=0)))
    return Comparison(False, pixels, largest, changed, machine)
