"""The runner: a set through a purifier, resumable at any moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unpoison.core.device import choose_device
from unpoison.core.errors import DataError, ModelError, RunError, SettingsError
from unpoison.core.hashing import hash_pictures
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.core.manifest import Manifest, Step, manifest_path, read_manifest
from unpoison.core.methods import load_method
from unpoison.core.progress import OnStep, StepInfo
from unpoison.data import default_format, open_writer, stores_png
from unpoison.purifiers.assembling import assemble, is_fresh
from unpoison.purifiers.blocks import as_rgb
from unpoison.purifiers.changes import change_facts
from unpoison.purifiers.disk import writing
from unpoison.purifiers.methods import ENGINES
from unpoison.purifiers.parts import Part, hold_assembly, hold_part
from unpoison.purifiers.pipeline import make_blocks
from unpoison.purifiers.store import Saved, Store, begun_settings, has_blocks, remove
from unpoison.purifiers.work import PurifyRun, Work


def purify_in_memory(
    image_set: ImageSet, run: PurifyRun, *, device: str = "auto", on_step: OnStep | None = None
) -> tuple[ArrayImageSet, Step]:
    """Purify a set of one size in memory, with the entry for its manifest.

    Raises:
        SettingsError: there are pictures of several sizes, or none.
    """
    image_set.check_headers()  # before anything is computed
    sizes = np.unique(image_set.sizes, axis=0)
    if len(sizes) != 1:
        raise SettingsError(f"{image_set.name} holds pictures of {len(sizes)} sizes; in memory they must have one")
    work = Work(image_set, run, device=device)
    work.prepare()
    images = np.empty((len(image_set), *sizes[0].tolist(), 3), np.uint8)
    source: list[bytes] = []
    result: list[bytes] = []
    changes: list[float] = []

    def on_pictures(count: int) -> None:
        if on_step:
            on_step(StepInfo(len(source) + count, len(image_set)))

    numbers = range(len(work.blocks))
    with closing(make_blocks(work, numbers, lambda _, __, block: block, png=False, on_pictures=on_pictures)) as blocks:
        for block in blocks:
            for picture in block:
                images[len(source)] = as_rgb(np.asarray(picture.data))
                source.append(picture.source_hash)
                result.append(picture.result_hash)
                changes.append(picture.change_255)
            on_pictures(0)
    purified = ArrayImageSet(
        images, image_set.labels, class_names=image_set.class_names, ids=image_set.ids, name=image_set.name
    )
    facts = change_facts(image_set, changes)
    return purified, work.step(source=hash_pictures(source), result=hash_pictures(result), facts=facts)


def purify_to(
    image_set: ImageSet,
    target: Path,
    run: PurifyRun,
    *,
    device: str = "auto",
    batch_size: int = 256,
    engine: str = "local",
    workers: int | None = None,
    history: Sequence[Step] = (),
    skipped: Sequence[str] = (),
    on_step: OnStep | None = None,
) -> Manifest:
    """Purify a set into a folder or file. Killed at any moment and called again, it goes on where it was.

    Work in progress lies in `<target>.partial`: one file per finished block and a journal. At the end the target is
    assembled there and renamed into place.

    Args:
        image_set: what to purify; pictures may differ in size.
        target: new folder or file; its suffix decides the format.
        run: how.
        device: where to compute.
        batch_size: images on an accelerator at once; does not change the result.
        engine: `local`, or `ray` for workers that may be on other machines.
        workers: how many workers, for `ray`; as many as there are devices if left out.
        history: steps that made the source.
        skipped: ids that were set aside before.
        on_step: called before the first block and as pictures are purified, with the number of images done; a block
            counts in full once it is saved.

    Returns:
        The manifest, which lies with the target.

    Raises:
        RunError: the target exists, the work in progress belongs to another run or is being done elsewhere, the disk
            is full, or the source was changed meanwhile.
        DataError: a picture is broken; the blocks before it are kept for the next call.
        ModelError: a model is missing, or does not take pictures of this size.
    """
    work = _work(image_set, target, run, device=device, batch_size=batch_size)
    make = partial(load_method(ENGINES, engine, kind="engine"), workers=workers)
    _run(work, target, Part(), make, history=history, skipped=skipped, on_step=on_step)
    return read_manifest(manifest_path(target))


def purify_part(
    image_set: ImageSet,
    target: Path,
    run: PurifyRun,
    part: Part,
    *,
    device: str = "auto",
    batch_size: int = 256,
    history: Sequence[Step] = (),
    skipped: Sequence[str] = (),
    on_step: OnStep | None = None,
) -> int:
    """Do one part of what `purify_to` does; several processes, on one machine or on many, share the work.

    Whichever part finds all blocks finished assembles the set. A run may be continued with another split, or whole.

    Args:
        image_set: as for `purify_to`.
        target: as for `purify_to`; all parts see it under the same path.
        run: how.
        part: which part this process does.
        device: where to compute.
        batch_size: images on an accelerator at once; does not change the result.
        history: steps that made the source.
        skipped: ids that were set aside before.
        on_step: as for `purify_to`, with the number of this part's images.

    Returns:
        How many blocks of the others are still missing; 0 if the set is there.

    Raises:
        RunError: as for `purify_to`.
        DataError: as for `purify_to`.
        ModelError: as for `purify_to`.
    """
    work = _work(image_set, target, run, device=device, batch_size=batch_size)
    make = partial(load_method(ENGINES, "local", kind="engine"), workers=None)
    return _run(work, target, part, make, history=history, skipped=skipped, on_step=on_step)


def _work(image_set: ImageSet, target: Path, run: PurifyRun, *, device: str, batch_size: int) -> Work:
    """The run on its set; an unfinished one goes on in the arithmetic that it was begun in."""
    run = run.resolved(choose_device(device), begun_settings(_partial(target)))
    return Work(image_set, run, device=device, batch_size=batch_size)


def _partial(target: Path) -> Path:
    """Where the work in progress lies."""
    return target.with_name(f"{target.name}.partial")


def _run(
    work: Work,
    target: Path,
    part: Part,
    make: Callable[..., None],
    *,
    history: Sequence[Step],
    skipped: Sequence[str],
    on_step: OnStep | None,
) -> int:
    """Make the blocks of a part, and the set if no block is missing then; how many are."""
    folder = _partial(target)
    if target.exists() and not folder.exists():
        raise RunError(f"{target} is already there; remove it or choose another name")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with hold_part(folder, part):
            if not target.exists():  # else another part, or a run that was killed before cleaning up, has made it
                work.prepare(folder)
                _make_blocks(work, target, folder, part, make, on_step)
            with hold_assembly(folder):
                missing = 0 if target.exists() else _assemble(work, target, folder, part, history, skipped)
                if not missing:
                    remove(folder)
                return missing
    except (DataError, ModelError, SettingsError):
        if part == Part() and not has_blocks(folder):  # nothing that a resumed run could use
            remove(folder)
        raise


def _make_blocks(
    work: Work, target: Path, folder: Path, part: Part, make: Callable[..., None], on_step: OnStep | None
) -> None:
    """Make every block of a part that is not yet there in full."""
    format = default_format(work.image_set.format, target)  # noqa: A001
    with writing(folder):
        # Before anything is computed: a set that cannot be written in this format is refused here.
        open_writer(folder / f"trial.{target.name}", format, source=work.image_set).abort()
    png = stores_png(format)
    with Store(folder, part, _header(work, target)) as store:
        own = [number for number in range(len(work.blocks)) if part.owns(number)]
        missing = [number for number in own if not _is_done(work, store, number)]
        total = sum(len(work.blocks[number]) for number in own)
        done = total - sum(len(work.blocks[number]) for number in missing)

        def on_saved(saved: Saved) -> None:
            nonlocal done
            done += len(work.blocks[saved.block])
            if on_step:
                on_step(StepInfo(done, total))

        def on_pictures(count: int) -> None:
            if on_step:
                on_step(StepInfo(done + count, total))

        on_pictures(0)
        make(work, missing, store, png=png, on_saved=on_saved, on_pictures=on_pictures)


def _assemble(
    work: Work, target: Path, folder: Path, part: Part, history: Sequence[Step], skipped: Sequence[str]
) -> int:
    with Store(folder, part, _header(work, target)) as store:
        missing = sum(not store.is_recorded(number) for number in range(len(work.blocks)))
        if not missing:
            with writing(folder):
                assemble(work, store, target, history=history, skipped=skipped)
        return missing


def _header(work: Work, target: Path) -> dict[str, Any]:
    return {**work.header(), "format": default_format(work.image_set.format, target)}


def _is_done(work: Work, store: Store, number: int) -> bool:
    found = store.read(number)
    return found is not None and is_fresh(work, number, *found)
