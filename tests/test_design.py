"""The ways through the code that docs/design.md lists are those that real commands take."""

from __future__ import annotations

import re
import sys
import threading
from pathlib import Path

from click.testing import CliRunner

import unpoison
from unpoison.cli.main import cli
from unpoison.data import write

SOURCE = f"{Path(unpoison.__file__).parent}/"
DESIGN = Path(__file__).parents[1] / "docs" / "design.md"
SUITE = """
name = "small"
[sets]
train = "train.npz"
test = "train.npz"
[attacks.none]
[attacks.urp]
attack = "urp"
[defences.none]
[defences.jpeg]
purify = "jpeg"
[train]
set = { epochs = 1, width = 4, batch_size = 8 }
"""


def listed(command: str) -> list[str]:
    text = DESIGN.read_text().split(f"`unpoison {command}")[1]
    items = re.findall(r"^(\d+)\. `([^`]+)`", text, re.MULTILINE)
    end = next((place for place, (number, _) in enumerate(items) if place and number == "1"), len(items))
    return [path for _, path in items[:end]]


def files_entered(*arguments: object) -> list[str]:
    """The files of the package in the order in which a command calls functions of theirs."""
    entered: list[str] = []

    def note(frame, event, _):
        if event == "call" and (code := frame.f_code).co_filename.startswith(SOURCE) and code.co_name[0] != "<":
            entered.append(code.co_filename.removeprefix(SOURCE))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        result = CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert result.exit_code == 0, result.output
    return entered


def assert_passes(entered: list[str], way: list[str]) -> None:
    assert 2 < len(way) <= 12
    rest = iter(entered)
    for path in way:
        assert path in rest, f"{path} is not entered after what stands before it in the list"


def test_purify_goes_the_way_in_the_list(make_set, tiny_model, tmp_path):
    write(make_set(1), tmp_path / "in")
    entered = files_entered("purify", tmp_path / "in", tmp_path / "out", "--model", tiny_model, "--sigma", "20/255")
    assert_passes(entered, listed("purify"))


def test_bench_goes_the_way_in_the_list(make_set, tmp_path):
    write(make_set(8), tmp_path / "train.npz")
    (tmp_path / "suite.toml").write_text(SUITE)
    entered = files_entered("bench", tmp_path / "suite.toml", "--out", tmp_path / "out", "--root", tmp_path)
    assert_passes(entered, listed("bench"))
