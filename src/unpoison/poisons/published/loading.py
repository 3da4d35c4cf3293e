"""Published poisons laid over the clean set that they were made from."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unpoison.core.derived import Repainted
from unpoison.core.device import processor, versions
from unpoison.core.errors import DataError, SettingsError
from unpoison.core.hashing import hash_file
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.core.manifest import Step
from unpoison.core.methods import load_method
from unpoison.core.noise import check_seed, generator
from unpoison.core.settings import build_settings
from unpoison.poisons.crafting import PoisonResult
from unpoison.poisons.measuring import measure
from unpoison.poisons.protocol import PoisonedSet
from unpoison.poisons.published.base import Published, PublishedFormat
from unpoison.poisons.published.methods import METHODS


def load_published(
    source: str | PathLike[str],
    clean: ImageSet,
    *,
    format: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> PoisonResult:
    """Poison a set with a poison that somebody published. Nothing in the files is executed.

    Args:
        source: file or folder; `#NAME` after it chooses one of several poisons, as in
            `Poisons#GradientMatching/cifar10/7`.
        clean: the set that the poison was made from, in its order. A JPEG copy will do; where the file holds whole
            pictures, the norms in the manifest then contain the copy's own error.
        format: name of the format; detected if left out.
        overrides: fields of the format's settings.
        seed: decides what a format leaves to chance.

    Returns:
        What crafting returns: the whole set with labels as they were; `write_poisoned` writes it.

    Raises:
        DataError: the file is bad, or does not fit the clean set.
        UnsafeFileError: it asks for what reading must not do.
        SettingsError: no such format, part or setting.
    """
    check_seed(seed)
    path, part = split_source(source)
    name = format or detect_published(path)
    method: PublishedFormat = load_method(METHODS, name, kind="published format")
    settings = build_settings(method.settings, overrides=overrides, of=name)
    # In memory: readers, checks and hashes each go over all its pictures.
    clean = Repainted(clean, clean.array(), name=clean.name)
    try:
        published = method.read(path, part, clean, settings, generator(seed, f"published/{name}"))
        read_from = {"part": part, "files": {file.name: hash_file(file) for file in published.files}}
    except OSError as error:
        where = error.filename or str(path)
        raise DataError(where, f"it cannot be read ({error.strerror})", "Check it and its permissions") from None
    return _apply(f"published:{name}", published, clean, settings.model_dump(mode="json"), seed, read_from)


def detect_published(path: Path) -> str:
    """Name of the published format that a path looks like.

    Raises:
        DataError: there is no such file, or it is of no known format.
    """
    for name in METHODS:
        if load_method(METHODS, name, kind="published format").claims(path):
            return name
    if not path.exists():
        raise DataError(path, "there is no such file or folder", "Check the spelling")
    raise DataError(path, "this is no published poison that we know", f"Name its format: {', '.join(METHODS)}")


def split_source(source: str | PathLike[str]) -> tuple[Path, str | None]:
    """Path, and the name after `#`; what exists under the whole name is that path."""
    text = str(source)
    path, mark, part = text.rpartition("#")
    if not mark or Path(text).exists():
        return Path(text), None
    return Path(path), part


def _apply(
    method: str,
    published: Published,
    clean: ArrayImageSet,
    settings: dict[str, Any],
    seed: int,
    read_from: dict[str, Any],
) -> PoisonResult:
    originals = clean.images
    images = originals.copy()
    images[published.rows] = published.images
    changed = (published.images != originals[published.rows]).any(axis=(1, 2, 3))
    if not changed.any():
        raise SettingsError(f"the poison changes no picture of {clean.name}; is that the poisoned set itself?")
    rows = np.sort(published.rows[changed])
    poisoned = PoisonedSet(
        images[rows],
        tuple(clean.ids[row] for row in rows),
        published.kind,
        published.trigger,
        published.target,
        {**published.facts, **read_from},
    )
    result = Repainted(clean, images, name=f"{clean.name}-{method.split(':')[1]}")
    step = Step(
        action="poison",
        method=method,
        settings=settings,
        seed=seed,
        source=clean.content_hash,
        result=result.content_hash,
        versions=versions(),
        device="cpu",
        processor=processor(torch.device("cpu")),
        facts={
            "poisoned": "all" if len(rows) == len(clean) else "poisoned_ids.txt",
            **measure(poisoned, originals[rows]),
        },
    )
    return PoisonResult(result, {method: poisoned}, step)
