"""A run of a suite reads every set and every record once, and hears of what other processes write meanwhile."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from unpoison.bench import cache, trials
from unpoison.bench.running import run_suite
from unpoison.bench.trials import Trials
from unpoison.core import records
from unpoison.data import read, write

SUITE = """
name = "small"
[sets]
train = "train.npz"
test = "test.npz"
[attacks.none]
[attacks.trigger]
attack = "narcissus"
auxiliary = "test"
set = { width = 4, epochs = 1, warmup_epochs = 0, rounds = 4, images = 3, step_size = "1" }
cases = { target_class = ["c2"] }
[defences.none]
[defences.jpeg]
purify = "jpeg"
[defences.grey]
purify = "grayscale"
[train]
set = { epochs = 1, width = 4, batch_size = 8 }
"""


@pytest.fixture
def run(make_set, tmp_path):
    for seed, name in enumerate(("train", "test")):
        write(make_set(24, seed=seed), tmp_path / f"{name}.npz")
    (tmp_path / "suite.toml").write_text(SUITE)
    return lambda: run_suite(tmp_path / "suite.toml", tmp_path / "out", root=tmp_path)


def test_sets_and_records_are_read_once(run, monkeypatch):
    asked, read_record = Counter(), records._read_record
    monkeypatch.setattr(cache, "read", lambda path: asked.update([path.name]) or read(path))
    monkeypatch.setattr(records, "_read_record", lambda path: asked.update([path.name]) or read_record(path))
    first = run()
    assert len(first) == 6
    sets = {name: count for name, count in asked.items() if name.endswith(".npz")}
    assert len(sets) == 1 + 2 * 2  # poisoned, and purified in two ways
    assert set(asked.values()) == {1}
    asked.clear()
    assert run() == first
    assert set(asked.values()) == {1}
    assert set(asked) == {f"{record.id}.json" for record in first}  # no set is looked at for what is on record


def test_a_record_that_another_process_writes_meanwhile_is_found(run, tmp_path, monkeypatch):
    first = run()
    folder, away = tmp_path / "out" / "small", tmp_path / "away"
    away.mkdir()
    later = [folder / f"{record.id}.json" for record in first[2:]]
    for path in later:
        path.rename(away / path.name)
    one = Trials.run

    def and_the_other_process_ends(suite, cell):
        for path in later:
            if not path.exists():
                (away / path.name).rename(path)
        return one(suite, cell)

    def fail(*_, **__):
        raise AssertionError("a finished trial was run again")

    monkeypatch.setattr(Trials, "run", and_the_other_process_ends)
    monkeypatch.setattr("unpoison.bench.trials.train", fail)
    assert run() == first


def test_two_that_run_a_suite_at_once_share_its_trials(run, monkeypatch):
    monkeypatch.setattr("unpoison.bench.running._WAIT_SECONDS", 0.01)
    trained, train = [], trials.train
    monkeypatch.setattr(trials, "train", lambda *given, **named: trained.append(1) or train(*given, **named))
    # The flags of torch are the process's: two threads that set and restore them in turns would leave them set.
    with torch.backends.cudnn.flags(enabled=True), ThreadPoolExecutor(2) as both:
        first, second = both.map(lambda _: run(), range(2))
    assert first == second
    assert len(trained) == len(first) == 6
