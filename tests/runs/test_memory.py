"""Large pictures share the memory; narrow ones are not filled up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, BrokenBarrierError

import pytest

from unpoison.core.pixels import images_per_call
from unpoison.runs.memory import MemoryRoom
from unpoison.runs.tiling import tiles


@pytest.mark.parametrize(("pixels", "meet"), [(10, True), (60, False)])
def test_what_does_not_fit_together_goes_one_by_one(pixels, meet):
    room, both = MemoryRoom(100 * 14), Barrier(2)

    def work(_):
        with room.take(pixels, tiled=True, given_up=lambda: False):
            try:
                both.wait(0.3)
            except BrokenBarrierError:
                return False
        return True

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(work, range(2))) == [meet, meet]


def test_one_is_always_worked_on_and_none_waits_for_ever():
    room = MemoryRoom(1)
    with room.take(100, tiled=False, given_up=lambda: False), room.take(100, tiled=False, given_up=lambda: True):
        pass


def test_narrow_pictures_are_not_filled_up_with_copies():
    assert {images_per_call(64, tile.area) for tile in tiles(2, 20_000, 40)} == {1}
    assert {images_per_call(64, tile.area) for tile in tiles(20, 400, 40)} == {8}
