"""What a suite will take is said before it is run: from records of this kind of machine, else from a few steps."""

from __future__ import annotations

import pytest

from unpoison.bench.arithmetic import Arithmetic
from unpoison.bench.cells import list_cells
from unpoison.bench.estimate import estimate
from unpoison.bench.running import run_suite
from unpoison.bench.sections import Attack, Defence, Training
from unpoison.bench.suite import Suite
from unpoison.core.records import read_records, write_record


@pytest.fixture
def suite(make_set):
    return Suite(
        name="small",
        sets={"train": make_set(24), "test": make_set(24, seed=1)},
        attacks={"none": Attack(), "urp": Attack(attack="urp")},
        defences={"none": Defence(), "jpeg": Defence(purify="jpeg")},
        train=Training(set={"epochs": 1, "width": 4, "batch_size": 8}),
    )


def test_records_tell_how_long_the_rest_takes(suite, tmp_path):
    told = []
    assert run_suite(suite, tmp_path, dry_run=True, on_estimate=told.append) == []
    assert not list(tmp_path.iterdir())
    (before,) = told
    assert (before.trials, before.on_record, before.not_counted) == (4, 0, ("jpeg", "urp"))
    assert before.seconds == pytest.approx(4 * before.a_training)
    folder = tmp_path / "small"
    run_suite(suite, tmp_path)
    for record in read_records(folder):
        seconds = {"poison": 0.0, "fit": 0.0, "purify": 12.0 if record.settings["purify"] else 0.0, "train": 10.0}
        write_record(folder, record.model_copy(update={"seconds": seconds}))
    later = suite.model_copy(update={"seeds": [0, 1]})
    sets = {name: later.read_set(name, None) for name in later.sets}
    about = {"device": "cpu", "arithmetic": Arithmetic("cpu")}
    then = estimate(later, list_cells(later), folder, sets, **about)
    assert (then.trials, then.on_record, then.not_counted) == (8, 4, ("urp",))
    assert then.seconds == pytest.approx(4 * 10 + 2 * 12)
    assert str(then) == "8 trials, 4 on record; about 64 s to go, 10 s a training, and the making of urp besides"
    beside = later.model_copy(update={"name": "other"})
    assert estimate(beside, list_cells(beside), tmp_path / "other", sets, **about).a_training == 10
    assert str(estimate(suite, list_cells(suite), folder, sets, **about)) == "4 trials, 4 on record"


def test_draws_of_a_training_are_timed_and_counted(suite, tmp_path):
    columns = {
        "none": Defence(),
        "fresh": Defence(purify="jpeg", draws="fresh"),
        "two": Defence(purify="jpeg", draws=2),
    }
    longer = suite.model_copy(
        update={"defences": columns, "train": Training(set={"epochs": 3, "width": 4, "batch_size": 8})}
    )
    sets = {name: longer.read_set(name, None) for name in longer.sets}
    about = {"device": "cpu", "arithmetic": Arithmetic("cpu")}
    folder = tmp_path / "small"
    before = estimate(longer, list_cells(longer), folder, sets, **about)
    assert before.not_counted == ("urp",)
    assert before.seconds > 6 * before.a_training
    run_suite(longer, tmp_path)
    for record in read_records(folder):
        draws = record.details.get("draws", 0)
        assert draws == {"none": 0, "fresh": 3, "two": 2}[record.settings["defence"]]
        seconds = {"poison": 24.0, "fit": 0.0, "purify": 12.0 * draws, "train": 10.0}
        write_record(folder, record.model_copy(update={"seconds": seconds}))
    later = longer.model_copy(update={"seeds": [0, 1]})
    then = estimate(later, list_cells(later), folder, sets, **about)
    assert then.seconds == pytest.approx(6 * 10 + 2 * 3 * 12 + 2 * 2 * 12 + 24)
