"""Poisoning a set: choose the pictures, craft, measure what was stored, write it down."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from unpoison.classify.saving import hash_classifier, load_classifier
from unpoison.core.derived import Repainted
from unpoison.core.device import choose_device, processor, versions
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.manifest import Manifest, Step, pack_manifest
from unpoison.core.noise import check_seed, generator
from unpoison.core.notes import Note, count_notes
from unpoison.core.progress import OnStep, bar_in_notebook
from unpoison.core.settings import Settings, called_settings
from unpoison.data import check_writable, read, read_history, refuse_existing, write
from unpoison.poisons.measuring import measure
from unpoison.poisons.methods import load_attack
from unpoison.poisons.mixture import (
    Ingredient,
    attack_settings,
    check_fraction,
    choose_rows,
    nearest_profile,
    read_mixture,
)
from unpoison.poisons.own import named_attack
from unpoison.poisons.protocol import PoisonedSet, Resources, Target, Trigger


@dataclass(frozen=True)
class PoisonResult:
    """A poisoned set with what was done.

    Args:
        image_set: all pictures in the order of the source, with its ids and labels.
        parts: what each attack did, by its name.
        step: the entry for the manifest.
    """

    image_set: ImageSet
    parts: dict[str, PoisonedSet]
    step: Step

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all poisoned pictures, in the order of the set."""
        poisoned = {image_id for part in self.parts.values() for image_id in part.ids}
        return tuple(image_id for image_id in self.image_set.ids if image_id in poisoned)

    @property
    def trigger(self) -> Trigger | None:
        """The trigger, if one of the attacks has one."""
        return next((part.trigger for part in self.parts.values() if part.trigger), None)

    @property
    def target(self) -> Target | None:
        """The picture to be misread, if one of the attacks has one."""
        return next((part.target for part in self.parts.values() if part.target), None)


def poison(
    image_set: Any,
    attack: Any = "lsp",
    *,
    seed: int = 0,
    device: str | None = None,
    profile: str = "",
    surrogates: Sequence[Any] | None = None,
    auxiliary: Any = None,
    target_set: Any = None,
    out: str | PathLike[str] | None = None,
    on_step: OnStep | None = None,
    settings: Settings | None = None,
    resources: Resources | None = None,
    **fields: Any,
) -> PoisonResult:
    """Poison a set, as its attacker would have: `poison("clean/", "lsp", epsilon="8/255", fraction=0.5)`.

    Args:
        image_set: labelled pictures of one size; a set, or what `read` reads.
        attack: name of the attack, or several joined by `+`, which share the set out between them;
            `package.module:Class`, or a class or object of yours with `Settings` and `craft`.
        seed: decides which pictures, and the perturbation.
        device: where to compute: `auto`, `cpu`, `cuda`, ...
        profile: names of profiles, or TOML files, joined by commas; the paper's settings if left out.
        surrogates: trained classifiers, or their folders; without any, an attack that needs one trains its own.
        auxiliary: a labelled set of other classes (Narcissus), or what `read` reads.
        target_set: the clean set that holds the picture to be misread, or what `read` reads.
        out: file or folder to write the set to, with its manifest and what the attack keeps.
        on_step: called as the work goes on.
        settings: an object of the attack's settings, in place of profile and fields.
        resources: what the attacker has as one object; the keywords above win over it.
        **fields: of the settings, e.g. `epsilon="8/255"`; `fraction`, the share of every class that is poisoned; and
            `classes`, the only ones to poison. With several attacks `**{"lsp.fraction": 0.3}`.

    Returns:
        The poisoned set, in the order of the source.

    Raises:
        SettingsError: an unknown attack, profile or field, or a set it cannot be used on.
        RunError: something lies at `out`.
    """
    if out is not None:
        refuse_existing(Path(out))
    given: dict[str, Any] = {
        "surrogates": surrogates and [load_classifier(Path(net)) if _is_path(net) else net for net in surrogates],
        "auxiliary": None if auxiliary is None else read(auxiliary),
        "target_set": None if target_set is None else read(target_set),
        "device": device,
        "on_step": on_step,
    }
    resources = replace(resources or Resources(), **{name: value for name, value in given.items() if value is not None})
    with (
        named_attack(attack) as name,
        bar_in_notebook(f"poison {name}", resources.on_step, unit="step") as shown,
    ):
        parts = _ingredients(name, settings, profile, fields)
        source = read(image_set)
        if out is not None:
            check_writable(Path(out), None, source=source)
        result = poison_mixture(source, parts, seed=seed, resources=replace(resources, on_step=shown))
    if out is not None:
        write_poisoned(result, source, Path(out), history=read_history(image_set) if _is_path(image_set) else ())
    return result


def _ingredients(name: str, settings: Settings | None, profile: str, fields: Mapping[str, Any]) -> list[Ingredient]:
    """The attacks of a call, with their settings as an object or as profiles and fields."""
    if settings is None:
        return called_settings(None, partial(read_mixture, name), profile=profile, fields=fields)
    others = {field: value for field, value in fields.items() if field != "fraction"}
    settings = called_settings(settings, partial(attack_settings, name), profile=profile, fields=others)
    return [Ingredient(name, settings, check_fraction(fields.get("fraction", 1.0)))]


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, PathLike))


def poison_mixture(
    image_set: ImageSet, parts: Sequence[Ingredient], *, seed: int = 0, resources: Resources | None = None
) -> PoisonResult:
    """Poison a set with one attack or several. No picture is poisoned twice; every surrogate learns from clean ones.

    Args:
        image_set: labelled pictures of one size.
        parts: the attacks; those that choose their pictures themselves choose first.
        seed: decides which pictures, and the perturbations.
        resources: what else the attacker has.

    Raises:
        SettingsError: an attack cannot be used on the set, or the parts do not leave each other enough pictures.
    """
    check_seed(seed)
    resources = replace(resources or Resources(), clean_set=image_set)
    parts = [part.resolved(choose_device(resources.device)) for part in parts]
    clean = image_set.array()
    images = clean.copy()
    rows_of = {image_id: row for row, image_id in enumerate(image_set.ids)}
    free = np.ones(len(image_set), bool)
    crafted: dict[str, PoisonedSet] = {}
    for part in sorted(parts, key=_poisons_all):
        method = load_attack(part.attack)()
        if method.chooses and part.fraction < 1 and len(parts) == 1:
            raise SettingsError(f"{part.attack} chooses its pictures itself and takes no fraction; see its settings")
        chosen = np.flatnonzero(free)
        if not method.chooses:
            chosen = choose_rows(image_set, part, free, generator(seed, f"{part.attack}/choice"))
        poisoned = method.craft(
            image_set.subset(chosen), part.settings, generator=generator(seed, part.attack), resources=resources
        )
        rows = [rows_of[image_id] for image_id in poisoned.ids]
        images[rows] = poisoned.images
        free[rows] = False
        crafted[part.attack] = poisoned
    name = "+".join(part.attack for part in parts)
    result = Repainted(image_set, images, name=f"{image_set.name}-{name}")
    facts = {
        part.attack: {
            **nearest_profile(part.attack, part.settings),
            **measure(crafted[part.attack], clean[[rows_of[image_id] for image_id in crafted[part.attack].ids]]),
        }
        for part in parts
    }
    described = {part.attack: part.describe() for part in parts}
    one = parts[0].attack if len(parts) == 1 else None
    device = choose_device(resources.device)
    step = Step(
        action="poison",
        method=name,
        settings=described[one] if one else described,
        seed=seed,
        source=image_set.content_hash,
        result=result.content_hash,
        versions=versions(),
        device=device.type,
        processor=processor(device),
        weights={
            **{f"surrogate-{number}": hash_classifier(net) for number, net in enumerate(resources.surrogates)},
            **{name: digest for part in parts for name, digest in part.files().items()},
        },
        facts={
            "poisoned": "all" if not free.any() else "poisoned_ids.txt",
            **sets_used(resources),
            **(facts[one] if one else facts),
        },
    )
    return PoisonResult(result, crafted, step)


def write_poisoned(
    result: PoisonResult,
    source: ImageSet,
    target: Path,
    *,
    format: str | None = None,
    history: Sequence[Step] = (),
) -> Manifest:
    """Write a poisoned set with its manifest, list of poisoned ids, trigger and target.

    Args:
        result: what `poison` returned.
        source: the set it was made from; its name and format go into the manifest.
        target: new folder or file.
        format: of the target, where its name does not say it.
        history: steps that made the source.

    Raises:
        RunError: the target exists, another process is writing it, or the disk is full; nothing is left behind.
    """
    manifest = Manifest(
        name=source.name,
        format=source.format,
        count=len(source),
        per_class=source.count_per_class(),
        steps=[*history, result.step],
    )

    def files(notes: Sequence[Note]) -> dict[str, bytes]:
        nonlocal manifest
        manifest = manifest.model_copy(update={"notes": count_notes([*source.notes, *notes])})
        return {**_pack_attack(result), **pack_manifest(manifest)}

    write(result.image_set, target, format=format, files=files)
    return manifest


def _pack_attack(result: PoisonResult) -> dict[str, bytes]:
    """What lies with a poisoned set besides its manifest: name to content."""
    files: dict[str, bytes] = {}
    if result.step.facts["poisoned"] != "all" or len(result.parts) > 1:
        files["poisoned_ids.txt"] = _list_ids(result).encode(errors="surrogateescape")
    # No picture file for the target: `load_dataset("imagefolder")` would take it for one more row.
    arrays = {
        "trigger.npy": result.trigger.delta if result.trigger else None,
        "target.npy": result.target.image if result.target else None,
    }
    for name, array in arrays.items():
        if array is not None:
            buffer = io.BytesIO()
            np.save(buffer, array)
            files[name] = buffer.getvalue()
    return files


def _poisons_all(part: Ingredient) -> bool:
    """Whether an attack takes what it is given; those that choose come before it."""
    return not load_attack(part.attack).chooses


def _list_ids(result: PoisonResult) -> str:
    """One id a line, in the order of the set; in a mixture, a tab and the attack after it."""
    who = {image_id: attack for attack, part in result.parts.items() for image_id in part.ids}
    mixed = len(result.parts) > 1
    return "".join(f"{image_id}\t{who[image_id]}\n" if mixed else f"{image_id}\n" for image_id in result.ids)


def sets_used(resources: Resources) -> dict[str, dict[str, str]]:
    """Name and hash of the further sets, so that the step can be done again."""
    return {
        name: {"name": found.name, "hash": found.content_hash}
        for name in ("auxiliary", "target_set")
        if (found := getattr(resources, name)) is not None
    }
