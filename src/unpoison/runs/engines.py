"""The engine that makes the blocks of a run in this process, and what every engine is called with."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Protocol

from unpoison.core.errors import SettingsError
from unpoison.runs.pipeline import OnPictures, make_blocks
from unpoison.runs.store import Saved, Store
from unpoison.runs.work import Work


class OnSaved(Protocol):
    """Called when a block is finished."""

    def __call__(self, saved: Saved) -> None: ...


def make_locally(
    work: Work,
    numbers: Sequence[int],
    store: Store,
    *,
    png: bool,
    workers: int | None,
    on_saved: OnSaved,
    on_pictures: OnPictures,
) -> None:
    """Make blocks in the threads of this process.

    Args:
        work: the run on its set.
        numbers: which blocks.
        store: takes them.
        png: store them as PNG.
        workers: must be None: the cores that torch may use are all used.
        on_saved: called after each block, once it is in the store.
        on_pictures: called before that with how many pictures of the next block are purified.

    Raises:
        SettingsError: `workers` was given.
    """
    if workers is not None:
        raise SettingsError("the local engine uses all cores by itself; --workers belongs to --engine ray")
    with closing(make_blocks(work, numbers, store.save, png=png, on_pictures=on_pictures)) as blocks:
        for saved in blocks:
            on_saved(saved)
