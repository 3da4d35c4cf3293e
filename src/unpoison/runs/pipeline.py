"""Blocks made in threads of this process: while some pictures are computed, others are decoded, encoded, written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from typing import Protocol, TypeVar

from unpoison.core.device import same_bits
from unpoison.core.errors import SettingsError
from unpoison.core.images import BLOCK_PIXELS
from unpoison.dynamics.steps import Stopped
from unpoison.runs.blocks import Block, PurifiedPicture
from unpoison.runs.store import Saved, Store
from unpoison.runs.work import Work

T = TypeVar("T")
OnPictures = Callable[[int], None]
_LOOK_S = 0.1  # between looks at what other threads have done


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


def make_blocks(
    work: Work,
    numbers: Sequence[int],
    finish: Callable[[int, str, Block], T],
    *,
    png: bool,
    on_pictures: OnPictures | None = None,
) -> Generator[T, None, None]:
    """Purify the blocks of these numbers.

    Memory is bounded: beyond two blocks, only as many are begun as keep all threads busy, and together they hold at
    most twice the pixels of the largest block. Ctrl-C is answered at once: no network call is waited for.

    Args:
        work: the run on its set.
        numbers: which blocks, in the order in which they are given back.
        finish: called in a thread of its own, block after block, with the number, the stamp that the stored pictures
            had before they were read, and the block.
        png: make PNGs.
        on_pictures: called, while the next block is not finished, with how many of its pictures are purified.

    Yields:
        What `finish` returned.

    Raises:
        DataError: a picture is broken; all blocks before it were finished.
    """
    waiting = deque(numbers)
    begun: deque[tuple[int, list[Future[list[PurifiedPicture]]], Future[T]]] = deque()  # pixels, pieces, result
    threads, last = ThreadPoolExecutor(work.threads), ThreadPoolExecutor(1)

    with same_bits(work.device):

        def begin(number: int) -> None:
            stamp = work.image_set.stamp(work.blocks[number])
            pieces = work.cut(number)
            parts = [threads.submit(work.purify_rows, rows, png=png) for rows in pieces]
            joined = last.submit(_join, work, number, stamp, pieces, parts, finish)
            begun.append((pixels_of(number), parts, joined))

        def pixels_of(number: int) -> int:
            rows = work.blocks[number]
            return int(work.image_set.sizes[rows.start : rows.stop].prod(axis=1, dtype="int64").sum())

        def has_room() -> bool:
            if len(begun) < 2:
                return True
            full = sum(pixels for pixels, _, _ in begun) + pixels_of(waiting[0]) > 2 * BLOCK_PIXELS
            return len(begun) < 3 + work.threads and not full

        try:
            while waiting or begun:
                while waiting and has_room():
                    begin(waiting.popleft())
                _, parts, joined = begun.popleft()
                yield _wait_for(joined, parts, on_pictures)
        except KeyboardInterrupt:
            work.stop()
            threads.shutdown(wait=False, cancel_futures=True)
            last.shutdown(cancel_futures=True)
            raise
        except BaseException:
            # What lies before the failure is through `last` already; nobody needs the rest.
            work.stop()
            threads.shutdown(cancel_futures=True)
            raise
        finally:
            last.shutdown()
            threads.shutdown(wait=False)


def _wait_for(joined: Future[T], parts: list[Future[list[PurifiedPicture]]], on_pictures: OnPictures | None) -> T:
    """Wait for a finished block, and tell of its pieces meanwhile; the last of them is told by the block itself."""
    told = 0
    while not joined.done():
        wait([joined], timeout=_LOOK_S)
        ready = [part for part in parts if part.done() and not part.cancelled() and not part.exception()]
        count = sum(len(part.result()) for part in ready)
        if on_pictures and told < count and len(ready) < len(parts):
            told = count
            on_pictures(count)
    return joined.result()


def _join(
    work: Work,
    number: int,
    stamp: str,
    pieces: list[list[int]],
    parts: list[Future[list[PurifiedPicture]]],
    finish: Callable[[int, str, Block], T],
) -> T:
    """Wait for the pieces of a block, put them in order, and finish it."""
    by_row: dict[int, PurifiedPicture] = {}
    for rows, part in zip(pieces, parts, strict=True):
        while not part.done():
            wait([part], timeout=_LOOK_S)
            if work.stopped:
                raise Stopped
        by_row.update(zip(rows, part.result(), strict=True))
    return finish(number, stamp, [by_row[row] for row in sorted(by_row)])
