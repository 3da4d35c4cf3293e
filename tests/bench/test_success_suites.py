"""Suites whose attacks have a trigger or a target: cases, surrogates, transfer, and the table of success."""

from __future__ import annotations

import pytest

from unpoison.bench.running import run_suite
from unpoison.bench.suite import read_suite
from unpoison.core.errors import SettingsError
from unpoison.data import write
from unpoison.reporting.grid import read_grid
from unpoison.reporting.pages import grid_page
from unpoison.reporting.tables import grid_tables

TRIGGERED = """
name = "triggered"
[sets]
train = "train.npz"
test = "test.npz"
other = "other.npz"
[attacks.none]
[attacks.narcissus]
attack = "narcissus"
auxiliary = "other"
set = { width = 4, epochs = 1, warmup_epochs = 0, rounds = 4, images = 3, step_size = "0.05" }
cases = { target_class = ["c0", "c2"] }
[defences.none]
[train]
set = { epochs = 1, width = 4, batch_size = 8 }
"""

TARGETED = """
name = "targeted"
[sets]
train = "train.npz"
test = "test.npz"
[classifiers.body]
fit = "other"
set = { epochs = 1, width = 4, batch_size = 8 }
[attacks.none]
[attacks.bullseye]
attack = "bullseye"
surrogates = ["body"]
target_set = "test"
set = { poisons = 3, iterations = 2 }
cases = { target_index = [0, 4, 5] }
[defences.none]
[defences.jpeg]
purify = "jpeg"
[train]
mode = "linear"
body = "body"
profile = ["puregen-linear"]
set = { epochs = 2 }
""".replace('test = "test.npz"', 'test = "test.npz"\nother = "other.npz"', 1)


@pytest.fixture
def root(make_set, tmp_path):
    for seed, name in enumerate(("train", "test", "other")):
        write(make_set(24, seed=seed), tmp_path / f"{name}.npz")
    (tmp_path / "triggered.toml").write_text(TRIGGERED)
    (tmp_path / "targeted.toml").write_text(TARGETED)
    return tmp_path


def test_a_trigger_is_scored_for_every_target_class(root):
    records = run_suite(root / "triggered.toml", root / "out", root=root)
    assert len(records) == 3
    attacked = [record for record in records if record.settings["attack"] == "narcissus"]
    assert [record.settings["case"] for record in attacked] == [{"target_class": "c0"}, {"target_class": "c2"}]
    for record in attacked:
        names = {f"{who}success_x{scale}" for who in ("", "clean_") for scale in (1, 2, 3)}
        assert set(record.metrics) == {"accuracy", "target_class_accuracy", *names}
        assert record.metrics["success_x1"].n == 16  # the test images of the other two classes
        assert record.details["poison"]["images"] == 3
    grid = read_grid(root / "out" / "triggered")
    values = [record.metrics["success_x3"].value for record in attacked]
    shown = f"x3 {50 * sum(values):.1f} (max {100 * max(values):.1f})"
    assert shown in grid_tables(grid).split("| attack success |")[1]
    assert shown in grid_page(grid)


def test_targets_are_counted_and_the_control_is_asked_too(root):
    records = run_suite(root / "targeted.toml", root / "out", root=root)
    assert len(records) == 2 + 3 * 2
    attacked = [record for record in records if record.settings["attack"] == "bullseye"]
    assert {record.metrics["success"].n for record in attacked} == {1}
    assert all("clean_success" in record.metrics for record in attacked)
    assert {record.settings["train"]["mode"] for record in records} == {"linear"}
    assert len({record.inputs["body"] for record in records}) == 1
    grid = read_grid(root / "out" / "targeted")
    hits = sum(r.metrics["success"].value for r in attacked if r.settings["defence"] == "none")
    row = next(line for line in grid_tables(grid).splitlines() if line.startswith("| bullseye") and "/3" in line)
    assert row.split("|")[2].strip().startswith(f"{hits:.0f}/3 = ")
    again = run_suite(root / "targeted.toml", root / "out", root=root)
    assert [record.id for record in again] == [record.id for record in records]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('surrogates = ["body"]', 'surrogates = ["bodies"]', r"\[classifiers\] lacks 'bodies'"),
        ('target_set = "test"', 'target_set = "tests"', r"\[sets\] lacks 'tests'"),
        ('body = "body"', 'body = ""', r"\[classifiers\] lacks ''"),
        ("cases = {", "cases = { poisons = [1],", "cases"),
    ],
)
def test_parts_that_do_not_fit_are_refused(root, old, new, message):
    (root / "targeted.toml").write_text(TARGETED.replace(old, new))
    with pytest.raises(SettingsError, match=message):
        read_suite(root / "targeted.toml")
