"""The runner: a set through a purifier, resumable at any moment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from unpoison.core.device import choose_device
from unpoison.core.errors import DataError, ModelError, RunError, SettingsError
from unpoison.core.files import file_stamp, writing
from unpoison.core.images import ImageSet
from unpoison.core.manifest import Manifest, Step
from unpoison.core.methods import load_method
from unpoison.core.progress import OnStep, StepInfo, telling
from unpoison.data import check_writable, default_format, stores_png
from unpoison.data.delivery import partial_of
from unpoison.runs.assembling import Draw, Sources, assemble
from unpoison.runs.finished import check_replaceable, read_finished, remove_leftovers
from unpoison.runs.methods import ENGINES
from unpoison.runs.parts import Part, hold_assembly, hold_part
from unpoison.runs.run import PurifyRun
from unpoison.runs.store import Saved, Store, begun, has_blocks, remove, share_seed
from unpoison.runs.work import Work

_COMPARING = 4  # threads; each holds a block, and one picture decoded


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Args:
        manifest: of the set, where it lies too; None as long as other parts have blocks to make.
        missing: how many blocks those are.
        was_there: the set was there already, made in the same way from the same pictures.
    """

    manifest: Manifest | None
    missing: int = 0
    was_there: bool = False


def purify_to(
    image_set: ImageSet,
    target: Path,
    run: PurifyRun,
    *,
    part: Part | None = None,
    device: str = "auto",
    batch_size: int = 256,
    engine: str = "local",
    workers: int | None = None,
    overwrite: bool = False,
    history: Sequence[Step] = (),
    skipped: Sequence[str] = (),
    facts: Mapping[str, Any] = {},
    draw: Draw | None = None,
    on_step: OnStep | None = None,
) -> Outcome:
    """Purify a set into a folder or file. Killed at any moment and called again, it goes on where it was.

    Work in progress lies in `<target>.partial`: one file per finished block and a journal. At the end the target is
    assembled there and renamed into place, with its manifest. A target that this run has made from these pictures is
    left as it is.

    Several processes, on one machine or on many, may do a part each: whichever finds all blocks finished assembles the
    set. A run may be continued with another split, or whole.

    Args:
        image_set: what to purify; pictures may differ in size.
        target: new folder or file; its suffix decides the format. All parts see it under the same path.
        run: how.
        part: which part this process does; everything if left out.
        device: where to compute.
        batch_size: images on an accelerator at once; does not change the result.
        engine: `local`, or `ray` for workers that may be on other machines.
        workers: how many workers, for `ray`; as many as there are devices if left out.
        overwrite: put the set, once it is finished, in place of another one that is there.
        history: steps that made the source.
        skipped: ids that were set aside before.
        facts: what the manifest is to tell of the run besides what it measures.
        draw: makes further files that appear with the set, such as a page.
        on_step: called before the first block and as pictures are purified, with the number of this part's images done;
            a block counts in full once it is saved. Before that, with steps that say what is `doing`, while a purifier
            looks at the whole set.

    Returns:
        The manifest, or how many blocks of other parts are missing.

    Raises:
        RunError: something else is at the target, the work in progress belongs to another run or is being done
            elsewhere, the disk is full, or the source was changed meanwhile.
        DataError: a picture is broken; the blocks before it are kept for the next call.
        ModelError: a model is missing, or does not take pictures of this size.
        SettingsError: copies cannot be told apart in this set, or in the format of the target.
    """
    part = part or Part()
    folder = partial_of(target)
    # An unfinished run goes on in the arithmetic and with the seed that it was begun with.
    settings, seed = begun(folder)
    resumed = run.seeded_as(seed).resolved(choose_device(device), settings)
    if run.copies > 1 and default_format(image_set.format, target) == "numbered":
        raise SettingsError(f"{target}: numbered pictures have no labels for copies; name a DST like {target.name}.npz")
    work = Work(image_set, resumed, device=device, batch_size=batch_size)
    make = partial(load_method(ENGINES, engine, kind="engine"), workers=workers)
    before = _what_is_at(target)
    if before:
        try:
            manifest = read_finished(work, run, target)
            remove_leftovers(work, folder)
            return Outcome(manifest, was_there=True)
        except RunError as error:
            if not overwrite:
                raise _keeping(folder, error) from None
        check_replaceable(target)
    with writing(folder, kept=True):
        folder.mkdir(parents=True, exist_ok=True)
    sources = Sources(work)
    try:
        if run.is_secret and seed is None:
            work.run = replace(work.run, seed=share_seed(folder, work.run.seed))
        with hold_part(folder, part):
            if not _has_come(target, before):  # else another part has just made it
                work.prepare(folder, on_step=on_step)
                _make_blocks(work, target, folder, part, sources, make, on_step)
            with hold_assembly(folder):
                if _has_come(target, before):
                    manifest = read_finished(work, run, target)
                    remove(folder)
                    return Outcome(manifest)
                with Store(folder, part, _header(work, target)) as store:
                    missing = sum(not store.is_recorded(number) for number in range(len(work.blocks)))
                    if missing:
                        return Outcome(None, missing)
                    about: dict[str, Any] = {"history": history, "skipped": skipped, "facts": facts, "draw": draw}
                    manifest = assemble(work, store, sources, target, replace=bool(before), **about)
                remove(folder)
                return Outcome(manifest)
    except (DataError, ModelError, SettingsError):
        if part == Part() and not has_blocks(folder):  # nothing that a resumed run could use
            remove(folder)
        raise


def _what_is_at(target: Path) -> str:
    """Empty if nothing is there; else another text for each thing that is."""
    return file_stamp(target) if os.path.lexists(target) else ""


def _has_come(target: Path, before: str) -> bool:
    """Whether somebody has put something at the target meanwhile."""
    return _what_is_at(target) not in ("", before)


def _keeping(folder: Path, error: RunError) -> RunError:
    """The error, with what becomes of the work that lies there."""
    return RunError(f"{error}. The unfinished run in {folder} is kept") if has_blocks(folder) else error


def _make_blocks(
    work: Work,
    target: Path,
    folder: Path,
    part: Part,
    sources: Sources,
    make: Callable[..., None],
    on_step: OnStep | None,
) -> None:
    """Make every block of a part that is not yet there in full."""
    format = default_format(work.image_set.format, target)
    check_writable(target, format, source=work.image_set)
    png = stores_png(format)
    with Store(folder, part, _header(work, target)) as store:
        own = [number for number in range(len(work.blocks)) if part.owns(number)]
        with telling("comparing what is finished with the pictures"), ThreadPoolExecutor(_COMPARING) as threads:
            done = threads.map(lambda number: _is_done(store, sources, number), own)
            missing = [number for number, is_done in zip(own, done, strict=True) if not is_done]
        total = sum(len(work.blocks[number]) for number in own)
        finished = total - sum(len(work.blocks[number]) for number in missing)

        def on_saved(saved: Saved) -> None:
            nonlocal finished
            sources.note(saved.block, saved.stamp)
            finished += len(work.blocks[saved.block])
            if on_step:
                on_step(StepInfo(finished, total))

        def on_pictures(count: int) -> None:
            if on_step:
                on_step(StepInfo(finished + count, total))

        on_pictures(0)
        make(work, missing, store, png=png, on_saved=on_saved, on_pictures=on_pictures)


def _header(work: Work, target: Path) -> dict[str, Any]:
    return {**work.header(), "format": default_format(work.image_set.format, target)}


def _is_done(store: Store, sources: Sources, number: int) -> bool:
    block = store.read(number) if store.is_recorded(number) else None
    return block is not None and not sources.changed(number, block)
