"""Blocks made in threads: in order, few at a time, the same bytes, and errors that name their picture."""

from __future__ import annotations

import _thread
import signal
import threading
import time

import numpy as np
import pytest
import torch

from unpoison.core.errors import DataError
from unpoison.core.images import ArrayImageSet
from unpoison.core.picture import Picture
from unpoison.dynamics.steps import Stopped
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs import pipeline
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.pipeline import make_blocks
from unpoison.runs.run import PurifyRun
from unpoison.runs.work import Work

JPEG = PurifyRun(purifier_settings("jpeg"))


class _Broken(ArrayImageSet):
    """One picture cannot be decoded."""

    broken = 700

    def picture(self, index: int) -> Picture:
        if index == self.broken:
            raise DataError("set", "the picture is broken", "Remove it", record=index)
        return super().picture(index)


@pytest.fixture
def large_set(make_set):
    return make_set(1300)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_number_of_cores_does_not_change_the_bytes(make_set, tiny_model, precision):
    overrides = {"model": str(tiny_model), "t": 2, "precision": precision}
    run = PurifyRun(purifier_settings("eclipse", overrides=overrides), microbatch=8)
    image_set, before, results = make_set(40, side=48), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(purify_in_memory(image_set, run, device="cpu")[0].array())
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_blocks_come_in_order_and_few_at_a_time(large_set, monkeypatch):
    monkeypatch.setattr(pipeline, "BLOCK_PIXELS", 256 * 16 * 16)
    work = Work(large_set, JPEG, device="cpu")
    decoded, most = 0, 0
    decode = large_set.picture

    def count(index):
        nonlocal decoded
        decoded += 1
        return decode(index)

    monkeypatch.setattr(large_set, "picture", count)
    numbers = [4, 0, 2, 5, 1, 3]
    blocks = make_blocks(work, numbers, lambda number, stamp, block: number, png=False)
    for finished, (number, expected) in enumerate(zip(blocks, numbers, strict=True), start=1):
        assert number == expected
        time.sleep(0.05)
        most = max(most, decoded - 256 * finished)
    assert decoded == 1300
    assert most <= 2 * 256


def test_an_error_names_its_picture_and_keeps_what_was_before(make_set):
    whole = make_set(1300)
    work = Work(_Broken(whole.images, whole.labels), JPEG, device="cpu")
    kept = []
    with pytest.raises(DataError, match="record 700: the picture is broken"):
        list(make_blocks(work, range(6), lambda number, stamp, block: kept.append(number), png=False))
    assert kept[:2] == [0, 1]
    assert 2 not in kept
    with pytest.raises(Stopped):
        work.purify_rows([0], png=False)


def test_no_thread_is_left_when_the_reader_gives_up(large_set):
    before = threading.active_count()
    blocks = make_blocks(Work(large_set, JPEG, device="cpu"), range(6), lambda number, stamp, block: number, png=False)
    next(blocks)
    blocks.close()
    assert threading.active_count() == before


def test_a_picture_of_another_size_than_announced_is_refused(make_set):
    image_set = make_set(5)
    work = Work(image_set, JPEG, device="cpu")
    image_set.images = image_set.images[:, :8]
    with pytest.raises(DataError, match="another size than at the start"):
        work.purify_rows([3], png=True)


def test_pictures_are_told_before_their_block_is_finished(make_set):
    image_set, told = make_set(200), []
    with_steps = purify_in_memory(image_set, JPEG, device="cpu", on_step=lambda info: told.append(info))[0]
    steps = [info.step for info in told]
    assert steps == sorted(steps)
    assert steps[-1] == 200
    assert {info.total for info in told} == {200}
    assert with_steps.content_hash == purify_in_memory(image_set, JPEG, device="cpu")[0].content_hash


class _Slow(ArrayImageSet):
    """Decoding takes its time, as a long network call does; `begun` is set when it starts."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.begun, self.go_on = threading.Event(), threading.Event()

    def picture(self, index: int) -> Picture:
        self.begun.set()
        self.go_on.wait(30)
        return super().picture(index)


def test_pieces_of_a_block_are_told_one_by_one(make_set, monkeypatch):
    monkeypatch.setattr(pipeline, "_LOOK_S", 0.001)
    work, told, left = Work(make_set(256), JPEG, device="cpu"), [], threading.Semaphore(1)
    purify_rows = work.purify_rows

    def one_by_one(rows, *, png):
        left.acquire(timeout=10)
        return purify_rows(rows, png=png)

    def on_pictures(count):
        told.append(count)
        left.release()

    monkeypatch.setattr(work, "purify_rows", one_by_one)
    list(make_blocks(work, [0], lambda number, stamp, block: number, png=False, on_pictures=on_pictures))
    assert told == [64, 128, 192]


@pytest.fixture
def heard():
    """Ctrl-C is heard in the test, even where tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_ctrl_c_waits_for_no_network_call(make_set):
    whole = make_set(600)
    image_set = _Slow(whole.images, whole.labels)
    work = Work(image_set, JPEG, device="cpu")

    def interrupt():
        image_set.begun.wait(10)
        _thread.interrupt_main()

    threading.Thread(target=interrupt).start()
    started = time.perf_counter()
    try:
        with pytest.raises(KeyboardInterrupt):
            list(make_blocks(work, range(3), lambda number, stamp, block: number, png=False))
        assert time.perf_counter() - started < 2
    finally:
        image_set.go_on.set()
