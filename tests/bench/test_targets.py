"""A part of the targets is run, and the rest later: the records are those of the whole suite."""

from __future__ import annotations

import json

import pytest

from unpoison.bench.running import run_suite
from unpoison.cli.main import cli
from unpoison.core.errors import SettingsError
from unpoison.core.records import read_records
from unpoison.data import write

SUITE = """
name = "several"
[sets]
train = "train.npz"
test = "test.npz"
[attacks.none]
[attacks.several]
attack = "urp"
cases = { epsilon = ["1/255", "2/255", "4/255"] }
[attacks.urp]
attack = "urp"
[defences.none]
[train]
model = "airbench94"
profile = ["airbench"]
set = { epochs = 1, width = 4, batch_size = 8 }
"""


@pytest.fixture
def root(make_set, tmp_path):
    for seed, name in enumerate(("train", "test")):
        write(make_set(24, seed=seed), tmp_path / f"{name}.npz")
    (tmp_path / "suite.toml").write_text(SUITE)
    return tmp_path


def cases(records) -> list[tuple[str, str | None]]:
    return [(r.settings["attack"], r.settings.get("case", {}).get("epsilon")) for r in records]


def test_part_by_part(root):
    first = run_suite(root / "suite.toml", root / "out", root=root, targets={0, 2})
    assert cases(first) == [("none", None), ("several", "1/255"), ("several", "4/255"), ("urp", None)]
    assert first[0].settings["train"]["lookahead"] == 5
    second = run_suite(root / "suite.toml", root / "out", root=root, targets={1})
    assert cases(second) == [("none", None), ("several", "2/255"), ("urp", None)]
    assert second[0] == first[0]
    whole = run_suite(root / "suite.toml", root / "out", root=root)
    assert (
        {r.id for r in whole} == {r.id for r in (*first, *second)} == {r.id for r in read_records(root / "out/several")}
    )
    with pytest.raises(SettingsError, match="several has no case number 3; its attacks have 3 at most, from 0"):
        run_suite(root / "suite.toml", root / "out", root=root, targets={2, 3})


def test_the_command_leaves_a_table_of_all_targets_that_have_records(root, capsys):
    arguments = ["bench", str(root / "suite.toml"), "--out", str(root / "out"), "--root", str(root), "--json"]
    for targets, cases in (("0", "1"), ("1,2", "1/3")):
        cli([*arguments, "--targets", targets], standalone_mode=False)
        told = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert told["table"] == str(root / "out/several/table.md")
        assert f"trainings a cell: {cases}." in (root / "out/several/table.md").read_text()
    cli([*arguments[:-1]], standalone_mode=False)
    assert capsys.readouterr().out.rstrip() == (root / "out/several/table.md").read_text().rstrip()
    # Records of another version of the suite: a part cannot say which of them count.
    (root / "suite.toml").write_text(SUITE.replace("epochs = 1", "epochs = 2"))
    cli([*arguments, "--targets", "0"], standalone_mode=False)
    answer = capsys.readouterr()
    assert json.loads(answer.out.splitlines()[-1])["table"] is None
    assert "table.md is not written: the records of" in answer.err


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0,3-7", {0, 3, 4, 5, 6, 7}),
        ("5", {5}),
        ("2-2", {2}),
        ("4-2", None),
        ("0-99999999999", None),
        ("a", None),
        ("", None),
    ],
)
def test_lists_of_numbers(monkeypatch, tmp_path, text, numbers):
    asked = []

    def record(*_, targets, **__):
        asked.append(targets)
        raise SettingsError("enough")

    monkeypatch.setattr("unpoison.bench.running.run_suite", record)
    suite = tmp_path / "suite.toml"
    suite.write_text(SUITE)
    arguments = ["bench", str(suite), "--out", str(tmp_path), "--targets", text]
    with pytest.raises(SettingsError if numbers else Exception, match="enough" if numbers else "no list of numbers"):
        cli(arguments, standalone_mode=False)
    assert asked == ([numbers] if numbers else [])
