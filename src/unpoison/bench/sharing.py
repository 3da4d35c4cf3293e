"""Purified pictures that several sets of a suite share: most attacks with a trigger or a target leave nearly all alone.

What a purifier makes of a picture depends on the picture, its id and the seed, not on the rest of the set.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.core.manifest import Manifest, pack_manifest
from unpoison.core.progress import OnStep
from unpoison.data import write
from unpoison.purifiers.methods import load_purifier
from unpoison.runs.changes import change_facts
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.measuring import measure_change
from unpoison.runs.run import PurifyRun


def can_share(image_set: ImageSet, base: ImageSet, run: PurifyRun) -> bool:
    """Whether a set differs from its base in some pictures, but not in most, and the run takes each by itself.

    Args:
        image_set: pictures of one size.
        base: pictures of the same ids and size.
        run: how both are purified.
    """
    if any(load_purifier(name).needs_whole_set for name in run.settings):
        return False
    return 0 < len(changed_rows(image_set, base)) <= len(base) / 2


def changed_rows(image_set: ImageSet, base: ImageSet) -> np.ndarray:
    """[n] rows, ascending, in which two sets of the same ids differ."""
    return np.flatnonzero((image_set.array() != base.array()).any(axis=(1, 2, 3)))


def purify_changed(
    image_set: ImageSet,
    target: Path,
    run: PurifyRun,
    *,
    base: ImageSet,
    purified: ImageSet,
    device: str,
    on_step: OnStep | None = None,
) -> None:
    """Like `purify_to`, for a set whose other pictures are purified already.

    Args:
        image_set: as for `can_share`.
        target: new file.
        run: how.
        base: as for `can_share`.
        purified: what the run made of the base.
        device: where to compute.
        on_step: called with the number of changed pictures done.
    """
    rows = changed_rows(image_set, base)
    changed, step = purify_in_memory(image_set.subset(rows), run, device=device, on_step=on_step)
    images = purified.array().copy()
    images[rows] = changed.images
    whole = ArrayImageSet(
        images, image_set.labels, class_names=image_set.class_names, ids=image_set.ids, name=image_set.name
    )
    changes = [measure_change(before, after) for before, after in zip(image_set.array(), images, strict=True)]
    facts = {**step.facts, **change_facts(image_set, changes)}
    hashes = {"source": image_set.content_hash, "result": whole.content_hash}
    manifest = Manifest(
        name=image_set.name,
        format=image_set.format,
        count=len(whole),
        per_class=image_set.count_per_class(),
        steps=[step.model_copy(update={**hashes, "facts": facts})],
    )
    write(whole, target, files=lambda _: pack_manifest(manifest))
