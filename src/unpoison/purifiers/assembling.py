"""From the blocks of a finished run to the set."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from unpoison.core.errors import RunError
from unpoison.core.hashing import hash_picture, hash_pictures
from unpoison.core.manifest import Manifest, Step, manifest_path, write_manifest
from unpoison.core.notes import count_notes
from unpoison.data import default_format, open_writer
from unpoison.purifiers.blocks import Block
from unpoison.purifiers.changes import change_facts
from unpoison.purifiers.store import Store
from unpoison.purifiers.work import Work


def is_fresh(work: Work, number: int, block: Block, stamp: str) -> bool:
    """Whether the stored pictures are still those that a block was made from.

    Only where the stamp says that they were touched are they read again.

    Raises:
        DataError: one can no longer be read.
    """
    return stamp == work.image_set.stamp(work.blocks[number]) or not _changed_ids(work, number, block)


def assemble(work: Work, store: Store, target: Path, *, history: Sequence[Step], skipped: Sequence[str]) -> None:
    """Put the blocks together beside the journal, then rename the whole into place.

    Args:
        work: the run on its set.
        store: where all blocks lie.
        target: folder or file to make.
        history: steps that made the source.
        skipped: ids that were set aside before.

    Raises:
        RunError: a picture was changed after it was purified, or a block's file was damaged.
    """
    image_set = work.image_set
    assembled = store.folder / "assembled" / target.name
    shutil.rmtree(assembled.parent, ignore_errors=True)
    assembled.parent.mkdir()
    modes: Counter[str] = Counter()
    source: list[bytes] = []
    result: list[bytes] = []
    changes: list[float] = []
    with open_writer(assembled, default_format(image_set.format, target), source=image_set) as writer:
        for number, rows in enumerate(work.blocks):
            block = _read_fresh(work, store, number)
            writer.add(rows, [picture.data for picture in block])
            modes.update(picture.mode for picture in block)
            source += [picture.source_hash for picture in block]
            result += [picture.result_hash for picture in block]
            changes += [picture.change_255 for picture in block]
    facts = change_facts(image_set, changes)
    manifest = Manifest(
        name=image_set.name,
        format=image_set.format,
        count=len(image_set),
        per_class=image_set.count_per_class(),
        modes={mode: count for mode, count in sorted(modes.items()) if mode != "RGB"},
        skipped=list(skipped),
        notes=count_notes([*image_set.notes, *writer.notes]),
        steps=[*history, work.step(source=hash_pictures(source), result=hash_pictures(result), facts=facts)],
    )
    # A folder carries its manifest along; that of a file comes first, so that no file is ever without one.
    write_manifest(manifest_path(assembled) if assembled.is_dir() else manifest_path(target), manifest)
    os.replace(assembled, target)


def _read_fresh(work: Work, store: Store, number: int) -> Block:
    found = store.read(number)
    if found and is_fresh(work, number, *found):
        return found[0]
    store.forget(number)
    if found is None:
        raise RunError(f"{store.folder}: the file of block {number} was damaged; give the same command again")
    changed = _changed_ids(work, number, found[0])
    more = f" and {len(changed) - 1} more beside it were" if len(changed) > 1 else " was"
    raise RunError(
        f"{work.image_set.name}: the picture '{changed[0]}'{more} changed during the run; give the same command again, "
        "and what was made of the old ones is made anew"
    )


def _changed_ids(work: Work, number: int, block: Block) -> list[str]:
    image_set = work.image_set
    return [
        image_set.ids[row]
        for row, purified in zip(work.blocks[number], block, strict=True)
        if hash_picture(image_set.picture(row).rgb, int(image_set.labels[row])) != purified.source_hash
    ]
