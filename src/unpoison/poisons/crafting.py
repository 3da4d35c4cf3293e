"""Poisoning a set: choose the images, craft, measure what was stored, write it down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unpoison.core.device import versions
from unpoison.core.errors import SettingsError
from unpoison.core.files import atomic_path, write_text
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.core.manifest import Manifest, Step, manifest_path, write_manifest
from unpoison.core.methods import load_method
from unpoison.core.noise import generator
from unpoison.core.settings import Settings, build_settings
from unpoison.data import write
from unpoison.poisons.base import PoisonedSet
from unpoison.poisons.methods import METHODS


@dataclass(frozen=True)
class PoisonResult:
    """A poisoned set with what was done.

    Args:
        image_set: all images in the order of the source, with ids and labels of the source.
        poisoned: what the attack returned, over the whole set.
        step: the entry for the manifest.
    """

    image_set: ImageSet
    poisoned: PoisonedSet
    step: Step


def attack_settings(
    attack: str, *, profiles: Sequence[str] = (), overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Settings of an attack from profiles and single values.

    Raises:
        SettingsError: unknown attack, profile or field.
    """
    model = load_method(METHODS, attack, kind="attack").Settings
    return build_settings(model, profiles=profiles, room="unpoison.poisons", overrides=overrides)


def poison(
    image_set: ImageSet, attack: str = "lsp", *, settings: Settings | None = None, fraction: float = 1.0, seed: int = 0
) -> PoisonResult:
    """Poison a set, as its attacker would have.

    Args:
        image_set: labelled images of one size.
        attack: name of the attack.
        settings: its settings; the paper's if left out.
        fraction: share of every class that is poisoned, above 0 and up to 1.
        seed: decides which images, and the perturbation.

    Returns:
        The poisoned set, in the order of the source.

    Raises:
        SettingsError: an unknown attack, or a set it cannot be used on.
    """
    if not 0 < fraction <= 1:
        raise SettingsError(f"fraction is {fraction}; it must lie above 0 and not above 1")
    method = load_method(METHODS, attack, kind="attack")()
    settings = settings or method.Settings()
    chosen = _choose(image_set, fraction, generator(seed, f"{attack}/choice"))
    crafted = method.craft(image_set.subset(chosen), settings, generator=generator(seed, attack))
    clean = image_set.array()
    images = clean.copy()
    images[chosen] = crafted.images
    result = ArrayImageSet(
        images,
        image_set.labels,
        class_names=image_set.class_names,
        ids=image_set.ids,
        name=f"{image_set.name}-{attack}",
    )
    step = Step(
        action="poison",
        method=attack,
        settings={**settings.model_dump(mode="json"), "fraction": fraction},
        seed=seed,
        source=image_set.content_hash,
        result=result.content_hash,
        versions=versions(),
        device="cpu",
        facts={
            "kind": crafted.kind,
            "poisoned": "all" if len(chosen) == len(image_set) else "poisoned_ids.txt",
            "target": crafted.target,
            **_achieved(clean[chosen], crafted.images),
        },
    )
    whole = PoisonedSet(images, crafted.ids, crafted.kind, crafted.trigger, crafted.target)
    return PoisonResult(result, whole, step)


def write_poisoned(result: PoisonResult, source: ImageSet, target: Path, *, history: Sequence[Step] = ()) -> Manifest:
    """Write a poisoned set with its manifest, list of poisoned ids and trigger.

    Args:
        result: what `poison` returned.
        source: the set it was made from; its name and format go into the manifest.
        target: new folder or file.
        history: steps that made the source.
    """
    write(result.image_set, target)
    manifest = Manifest(
        name=source.name,
        format=source.format,
        count=len(source),
        per_class=source.count_per_class(),
        steps=[*history, result.step],
    )
    path = manifest_path(target)
    beside = path.name.removesuffix("manifest.json")
    if result.step.facts["poisoned"] != "all":
        write_text(path.with_name(f"{beside}poisoned_ids.txt"), "\n".join(result.poisoned.ids) + "\n")
    if result.poisoned.trigger is not None:
        with atomic_path(path.with_name(f"{beside}trigger.npy")) as temporary, open(temporary, "wb") as file:
            np.save(file, result.poisoned.trigger)
    write_manifest(path, manifest)
    return manifest


def _choose(image_set: ImageSet, fraction: float, source: torch.Generator) -> np.ndarray:
    """Rows to poison, ascending: the same share of every class, at least one image of each."""
    if fraction == 1:
        return np.arange(len(image_set))
    rows = []
    for label in np.unique(image_set.labels):
        members = np.flatnonzero(image_set.labels == label)
        count = max(1, round(fraction * len(members)))
        rows.append(members[torch.randperm(len(members), generator=source)[:count].numpy()])
    return np.sort(np.concatenate(rows))


def _achieved(clean: np.ndarray, stored: np.ndarray) -> dict[str, float]:
    """Norms of the stored perturbation: largest level change, mean and largest L2 in [0, 1] units."""
    delta = stored.astype(np.int16) - clean
    l2 = np.sqrt((delta.astype(np.float64) ** 2).sum(axis=(1, 2, 3))) / 255
    return {"linf_255": int(np.abs(delta).max()), "l2_mean": float(l2.mean()), "l2_max": float(l2.max())}
