"""The runner: a set through a purifier, resumable at any moment."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from unpoison.core.errors import DataError, RunError
from unpoison.core.hashing import hash_file, hash_pictures
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.core.manifest import Manifest, Step, manifest_path, read_manifest, write_manifest
from unpoison.core.progress import OnStep
from unpoison.data import default_format, open_writer
from unpoison.purifiers.blocks import Block
from unpoison.purifiers.building import purifier_settings
from unpoison.purifiers.journal import Journal
from unpoison.purifiers.work import PurifyRun, Work


def purify(
    image_set: ImageSet, method: str = "fast", *, seed: int = 0, device: str = "auto", **settings: Any
) -> ArrayImageSet:
    """Purify a set of one size in memory.

    Args:
        image_set: what to purify.
        method: a purifier, or several joined by `+`.
        seed: seed of all noise.
        device: where to compute.
        **settings: fields of the method, e.g. `quality=10`.

    Returns:
        The purified set: same ids, labels and order.

    Raises:
        SettingsError: an unknown method or field, or pictures of several sizes.
    """
    run = PurifyRun(purifier_settings(method, overrides=settings), seed=seed)
    return purify_in_memory(image_set, run, device=device)[0]


def purify_in_memory(
    image_set: ImageSet, run: PurifyRun, *, device: str = "auto", on_step: OnStep | None = None
) -> tuple[ArrayImageSet, Step]:
    """Purify a set of one size in memory, with the entry for its manifest."""
    work = Work(image_set, run, device=device, batch_size=256)
    blocks = [block for _, block in work.compute(range(len(work.blocks)), on_step)]
    result = ArrayImageSet(
        np.stack([picture for block in blocks for picture in block.rgb()]),
        image_set.labels,
        class_names=image_set.class_names,
        ids=image_set.ids,
        name=image_set.name,
    )
    source = hash_pictures(digest for block in blocks for digest in block.source_hashes)
    return result, work.step(source=source, result=result.content_hash)


def purify_to(
    image_set: ImageSet,
    target: Path,
    run: PurifyRun,
    *,
    device: str = "auto",
    batch_size: int = 256,
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
        batch_size: images on the device at once; does not change the result.
        history: steps that made the source.
        skipped: ids that were set aside before.
        on_step: called after each block with the number of images done.

    Returns:
        The manifest, which lies with the target.

    Raises:
        RunError: the target exists, or the work in progress belongs to another run or is being done elsewhere.
        DataError: a picture is broken; the blocks before it are kept for the next call.
    """
    partial = target.with_name(f"{target.name}.partial")
    work = Work(image_set, run, device=device, batch_size=batch_size)
    if target.exists() and not partial.exists():
        raise RunError(f"{target} is already there; remove it or choose another name")
    partial.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(partial / "lock", timeout=0):
            if not target.exists():  # else the last call was killed between renaming and cleaning up
                _compute_blocks(work, partial, on_step)
                _assemble(work, target, partial, history, skipped)
    except Timeout:
        raise RunError(f"{partial} is being worked on by another process; wait for it, or stop it") from None
    except DataError:
        if not any(partial.glob("*.npz")):  # nothing that a resumed run could use
            shutil.rmtree(partial)
        raise
    shutil.rmtree(partial)
    return read_manifest(manifest_path(target))


def _compute_blocks(work: Work, partial: Path, on_step: OnStep | None) -> None:
    """Make every block file that is not yet there in full."""
    journal = Journal(partial / "journal")
    try:
        _check_header(journal, work.header(), partial)
        done = {entry["block"]: entry["sha256"] for entry in journal.entries[1:]}
        missing = [number for number in range(len(work.blocks)) if not _is_done(partial, number, done)]
        for number, block in work.compute(missing, on_step):
            block.save(_block_file(partial, number))
            journal.append({"block": number, "sha256": hash_file(_block_file(partial, number))})
    finally:
        journal.close()


def _check_header(journal: Journal, header: dict[str, Any], partial: Path) -> None:
    if not journal.entries:
        journal.append(header)
    elif journal.entries[0] != header:
        different = sorted(key for key in header if journal.entries[0].get(key) != header[key])
        raise RunError(
            f"{partial} holds an unfinished run with other {', '.join(different)}; "
            "give that run's command again to finish it, or remove the folder"
        )


def _is_done(partial: Path, number: int, done: dict[int, str]) -> bool:
    path = _block_file(partial, number)
    return number in done and path.is_file() and hash_file(path) == done[number]


def _block_file(partial: Path, number: int) -> Path:
    return partial / f"{number:08d}.npz"


def _assemble(work: Work, target: Path, partial: Path, history: Sequence[Step], skipped: Sequence[str]) -> None:
    """Put the blocks together beside the journal, then rename the whole into place."""
    image_set = work.image_set
    assembled = partial / "assembled" / target.name
    shutil.rmtree(assembled.parent, ignore_errors=True)
    assembled.parent.mkdir()
    modes: Counter[str] = Counter()
    source: list[bytes] = []
    result: list[bytes] = []
    with open_writer(assembled, default_format(image_set.format, target), source=image_set) as writer:
        for number, rows in enumerate(work.blocks):
            block = Block.load(_block_file(partial, number))
            writer.add(rows, block.pictures)
            modes.update(block.modes)
            source += block.source_hashes
            result += block.result_hashes(image_set.labels[rows.start : rows.stop].tolist())
    manifest = Manifest(
        name=image_set.name,
        format=image_set.format,
        count=len(image_set),
        per_class=image_set.count_per_class(),
        modes={mode: count for mode, count in sorted(modes.items()) if mode != "RGB"},
        skipped=list(skipped),
        steps=[*history, work.step(source=hash_pictures(source), result=hash_pictures(result))],
    )
    # A folder carries its manifest along; that of a file comes first, so that no file is ever without one.
    write_manifest(manifest_path(assembled) if assembled.is_dir() else manifest_path(target), manifest)
    os.replace(assembled, target)
