"""A set purified into files with its page, its warnings and its cost, for the command and for Python alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from unpoison.core.device import choose_device
from unpoison.core.images import ImageSet
from unpoison.core.notes import DataWarning
from unpoison.core.progress import OnStep
from unpoison.data import bad_pictures_together, set_bad_aside
from unpoison.public.pages import draw_changes
from unpoison.runs.cost import announce_cost
from unpoison.runs.photographs import StrangePicturesWarning, strangeness_warning
from unpoison.runs.run import PurifyRun
from unpoison.runs.to_files import Outcome, purify_to

Warn = Callable[[Warning], None]


def check_source(image_set: ImageSet, run: PurifyRun, *, skip_bad: bool, warn: Warn) -> tuple[ImageSet, list[str]]:
    """Look at a set before it is purified.

    Args:
        image_set: any set.
        run: what is to be done to it.
        skip_bad: set pictures aside that cannot be decoded; else the run will stop at them.
        warn: takes a `DataWarning` for each of those, and a `StrangePicturesWarning` if a network in the package is to
            meet pictures unlike those it has seen.

    Returns:
        The set without its bad pictures, and the ids of those.
    """
    skipped: list[str] = []
    if skip_bad:
        everything = image_set.ids
        image_set, bad = set_bad_aside(image_set)
        skipped = sorted(set(everything) - set(image_set.ids))
        for error in bad:
            warn(DataWarning(f"set aside: {error}"))
    if text := strangeness_warning(image_set, run.settings):
        warn(StrangePicturesWarning(text))
    return image_set, skipped


def purify_into(
    image_set: ImageSet,
    target: Path,
    run: PurifyRun,
    *,
    device: str,
    remedy: str,
    on_step: OnStep,
    say: Callable[[str], None],
    **options: Any,
) -> Outcome:
    """Purify a set into a folder or file, with a page of what changed.

    Args:
        image_set: what to purify, after `check_source`.
        target: new folder or file.
        run: how.
        device: where to compute.
        remedy: what the caller can do about a bad picture.
        on_step: called as pictures are done.
        say: takes the line of what a long run will cost.
        **options: of `purify_to`.

    Raises:
        DataError: pictures are broken; names all that a look for some seconds finds.
        RunError: as `purify_to`.
        ModelError: as `purify_to`.
    """
    watched = announce_cost(on_step, say, device=choose_device(device).type)
    with bad_pictures_together(image_set, remedy=remedy):
        return purify_to(image_set, target, run, device=device, draw=draw_changes, on_step=watched, **options)
