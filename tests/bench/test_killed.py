"""A suite that is killed again and again, wherever it happens to be, comes to the records of one that is left alone."""

from __future__ import annotations

import multiprocessing
import random
import time

from unpoison.bench.running import run_suite
from unpoison.core.records import read_records

SUITE = """
name = "killed"
[sets]
train = "digits#train[:48]"
test = "digits#test[:40]"
sparse = "digits#sparse[:16]"
[models.net]
fit = "sparse"
profile = ["digits"]
[models.net.set]
arguments = { channels = 8, blocks = [1, 1, 1] }
iterations = 8
batch_size = 4
plots = false
checkpoint_every = 4
[classifiers.surrogate]
fit = "train"
set = { epochs = 1, width = 4, batch_size = 8 }
[attacks.none]
[attacks.bullseye]
attack = "bullseye"
surrogates = ["surrogate"]
target_set = "test"
set = { poisons = 2, iterations = 2 }
[defences.none]
[defences.jpeg]
purify = "jpeg"
[defences.fast]
purify = "fast"
model = "net"
set = { sigma = "20/255" }
[train]
set = { epochs = 1, width = 4, batch_size = 8, precision = "fp32" }
"""
KILLS = 6


def run(path, out):
    run_suite(path, out)


def what_counts(folder):
    """The records but for the time that things took."""
    return [record.model_copy(update={"seconds": {}}) for record in read_records(folder)]


def test_killed_at_random_and_resumed_it_gives_the_same_records(tmp_path):
    path = tmp_path / "killed.toml"
    path.write_text(SUITE)
    # Children of a process that has imported everything and computed nothing.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["unpoison.bench.running", "unpoison.demo.digits", "torch._dynamo"])
    first = context.Process(target=int)  # so that what is timed is no start of the server that forks them
    first.start()
    first.join()
    started = time.monotonic()
    whole = context.Process(target=run, args=(path, tmp_path / "alone"))
    whole.start()
    whole.join(60)
    assert whole.exitcode == 0
    takes = time.monotonic() - started

    moments = random.Random(0)
    kills = 0
    while True:
        child = context.Process(target=run, args=(path, tmp_path / "killed"))
        child.start()
        child.join(moments.uniform(0.02, 0.4) * takes if kills < KILLS else 60)
        if child.exitcode is not None:
            break
        child.kill()
        child.join()
        kills += 1
    assert child.exitcode == 0
    assert kills >= 3, f"killed {kills} times in {takes:.1f} s"
    alone, killed = (what_counts(tmp_path / name / "killed") for name in ("alone", "killed"))
    assert len(alone) == 2 * 3
    assert killed == alone
