"""Assembly of a set from the blocks of a finished run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unpoison.core.errors import RunError
from unpoison.core.files import writing
from unpoison.core.hashing import hash_picture, hash_pictures
from unpoison.core.images import ImageSet
from unpoison.core.manifest import Manifest, Step, pack_manifest
from unpoison.core.notes import count_notes, tell
from unpoison.core.picture import note_modes
from unpoison.data import default_format, open_writer, read
from unpoison.data.delivery import prepare_place, publish
from unpoison.runs.blocks import Block
from unpoison.runs.changes import change_facts
from unpoison.runs.measuring import Change
from unpoison.runs.store import Store
from unpoison.runs.work import Work

# Further files that are to lie with a set: made from its source, itself and its manifest; name to content.
Draw = Callable[[ImageSet, ImageSet, Manifest], Mapping[str, bytes]]


class Sources:
    """Whether the stored pictures are still those that blocks were made from.

    A block that this process has not made itself is compared with them picture by picture, once. From then on their
    stamp tells whether they were touched.

    Args:
        work: the run on its set.
    """

    def __init__(self, work: Work):
        self._work = work
        self._stamps: dict[int, str] = {}

    def note(self, number: int, stamp: str) -> None:
        """Remember the stamp that the pictures had before a block was made of them."""
        self._stamps[number] = stamp

    def changed(self, number: int, block: Block) -> list[str]:
        """Ids of the pictures of a block that are others now.

        Raises:
            DataError: one can no longer be read.
        """
        image_set, rows = self._work.image_set, self._work.blocks[number]
        stamp = image_set.stamp(rows)
        if self._stamps.get(number) == stamp:
            return []
        found = [
            image_set.ids[row]
            for row, purified in zip(rows, block, strict=True)
            if hash_picture(image_set.picture(row).rgb, int(image_set.labels[row])) != purified.source_hash
        ]
        if not found:
            self.note(number, stamp)
        return found


def assemble(
    work: Work,
    store: Store,
    sources: Sources,
    target: Path,
    *,
    history: Sequence[Step],
    skipped: Sequence[str],
    facts: Mapping[str, Any],
    replace: bool,
    draw: Draw | None,
) -> Manifest:
    """Put the blocks together beside the journal, then rename the whole into place.

    Args:
        work: the run on its set.
        store: where all blocks lie.
        sources: knows which pictures this process has seen.
        target: folder or file to make.
        history: steps that made the source.
        skipped: ids that were set aside before.
        facts: further facts of the step.
        replace: put the set in place of what is there.
        draw: makes further files that appear with the set.

    Returns:
        The manifest, which lies with the set.

    Raises:
        RunError: a picture was changed after it was purified, a block's file was damaged, or the disk is full.
    """
    image_set = work.image_set
    format = default_format(image_set.format, target)
    modes: Counter[str] = Counter()
    source: list[bytes] = []
    result: list[bytes] = []
    changes: list[Change] = []
    with writing(store.folder, kept=True):
        assembled = prepare_place(store.folder, target)
        with open_writer(assembled, format, source=image_set) as writer:
            for number, rows in enumerate(work.blocks):
                block = _read_fresh(work, store, sources, number)
                writer.add(rows, [picture.data for picture in block])
                modes.update(picture.mode for picture in block)
                source += [picture.source_hash for picture in block]
                result += [picture.result_hash for picture in block]
                changes += [picture.change for picture in block]
    facts = {**facts, **change_facts(image_set, changes)}
    source_hash = hash_pictures(source[: len(work.source)])  # the first of all copies
    conversions = note_modes(modes)
    tell(image_set.name, conversions)
    manifest = Manifest(
        name=image_set.name,
        format=image_set.format,
        count=len(image_set),
        per_class=image_set.count_per_class(),
        modes={mode: count for mode, count in sorted(modes.items()) if mode != "RGB"},
        skipped=list(skipped),
        notes=count_notes([*image_set.notes, *conversions, *writer.notes]),
        steps=[*history, work.step(source=source_hash, result=hash_pictures(result), facts=facts)],
    )
    drawn = draw(image_set, read(assembled, format=format), manifest) if draw else {}
    with writing(store.folder, kept=True):
        publish(store.folder, target, {**drawn, **pack_manifest(manifest)}, replace=replace)
    return manifest


def _read_fresh(work: Work, store: Store, sources: Sources, number: int) -> Block:
    block = store.read(number)
    if block is None:
        store.discard(number)
        raise RunError(f"{store.folder}: the file of block {number} was damaged; give the same command again")
    changed = sources.changed(number, block)
    if not changed:
        return block
    store.discard(number)
    more = f" and {len(changed) - 1} more beside it were" if len(changed) > 1 else " was"
    raise RunError(
        f"{work.image_set.name}: the picture '{changed[0]}'{more} changed during the run; give the same command again, "
        "and what was made of the old ones is made anew"
    )
