"""The page that maps the reference systems' flags names only what exists here."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from unpoison.classify.methods import METHODS as CLASSIFIERS
from unpoison.classify.settings import scratch_settings, transfer_settings
from unpoison.cli.main import cli
from unpoison.core.settings import build_settings, parse_assignments
from unpoison.fitting.settings import EnergySettings, FitSettings
from unpoison.nets.methods import METHODS as NETS
from unpoison.poisons.mixture import read_mixture
from unpoison.poisons.published.puregen_tree import PuregenTreeSettings
from unpoison.purifiers.settings import purifier_settings

PAGE = (Path(__file__).parents[1] / "docs" / "reference-flags.md").read_text()
ROWS = [line.split(" | ", 1)[1].removesuffix(" |") for line in PAGE.splitlines() if line.startswith("| ")]
COMMANDS = sorted({span for row in ROWS for span in re.findall(r"`(unpoison [^`]+)`", row)})


def flags(words):
    """--flag -> its values, in order."""
    found: dict[str, list[str]] = {}
    for word, value in zip(words, [*words, ""][1:], strict=True):
        if word.startswith("--"):
            found.setdefault(word, []).append("" if value.startswith("--") else value)
    return found


def test_the_page_names_commands():
    assert len(COMMANDS) > 60


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_and_flags_exist(command):
    words = shlex.split(command)[1:]
    found: click.Command = cli
    path = []
    while isinstance(found, click.Group):
        if found.name == "bench" and words[:1] != ["compare"]:
            words = ["run", *words]  # which may be left out
        path.append(words.pop(0))
        child = found.get_command(click.Context(found), path[-1])
        assert child is not None, command
        found = child
    given = flags(words)
    known = {name for parameter in found.params for name in parameter.opts}
    assert given.keys() <= known, command
    _check_settings(path, given)


def _check_settings(path, given):
    assigned = parse_assignments(given.get("--set", []))
    profiles = [name for names in given.get("--profile", []) for name in names.split(",")]
    match path:
        case ["purify"] if "--method" in given:
            if "--steps" in given:
                assigned["steps"] = int(given["--steps"][0])
            purifier_settings(given["--method"][0], profiles=profiles, overrides=assigned)
        case ["poison"] if "--attack" in given:
            read_mixture(given["--attack"][0], profiles=profiles, overrides=assigned)
        case ["poison"] if given["--from"][0].startswith("hf://"):
            build_settings(PuregenTreeSettings, overrides=assigned)
        case ["fit", kind]:
            model = {"diffusion": FitSettings, "ebm": EnergySettings}[kind]
            build_settings(model, profiles=profiles, room="unpoison.fitting", overrides=assigned)
        case ["train"]:
            assert set(given.get("--model", [])) <= set(CLASSIFIERS)
            if given.get("--mode", ["scratch"]) == ["scratch"]:
                scratch_settings(profiles=profiles, overrides=assigned)
            else:
                transfer_settings(given["--mode"][0], profiles=profiles, overrides=assigned)
        case _:
            assert not assigned
            assert not profiles


def test_other_names_on_the_page_exist():
    spans = {span for row in ROWS for span in re.findall(r"`([a-z][a-z0-9-]*)`", row)}
    rooms = [
        Path(__file__).parents[1] / "src" / "unpoison" / room / "profiles"
        for room in ("classify", "purifiers", "fitting")
    ]
    known = (
        {profile.stem for room in rooms for profile in room.glob("*.toml")}
        | set(CLASSIFIERS)
        | set(NETS)
        | {"t", "name"}
    )
    assert spans <= known
