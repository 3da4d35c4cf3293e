"""The help of `fit` tells of every profile, where it belongs."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from unpoison.cli.fit import fit
from unpoison.cli.purify import purify
from unpoison.core.errors import SettingsError
from unpoison.core.settings import build_settings, list_profiles
from unpoison.fitting.settings import DenoiserSettings, EnergySettings, FitSettings
from unpoison.nets.shipped import SHIPPED

ROOM = "unpoison.fitting"
COMMANDS = {"diffusion": FitSettings, "denoiser": DenoiserSettings, "ebm": EnergySettings}


def takes(model, profile) -> bool:
    try:
        build_settings(model, profiles=[profile], room=ROOM)
    except SettingsError:
        return False
    return True


@pytest.mark.parametrize("command", COMMANDS)
def test_every_profile_is_named_by_the_command_that_takes_it(command):
    words = CliRunner().invoke(fit, [command, "--help"]).output.replace(",", " ").replace("`", " ").split()
    words = [word.rstrip(".") for word in words]
    for profile in list_profiles(ROOM):
        assert (profile in words) == takes(COMMANDS[command], profile), profile


def test_purify_names_the_models_that_come_with_it_and_the_field_of_the_second():
    shown = " ".join(CliRunner().invoke(purify, ["--help"], terminal_width=200).output.split())
    for name in SHIPPED:
        assert name in shown
    assert "--set energy=FILE" in shown


@pytest.mark.parametrize("group", [(), ("fit",), ("models",)])
def test_no_summary_is_cut(run, group):
    assert "..." not in run(*group, "--help")[1].partition("Commands:")[2]
