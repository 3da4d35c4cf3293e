"""`--threads` of every command that computes."""

from __future__ import annotations

import click
import pytest
import torch
from click.testing import CliRunner

from unpoison.cli import main as cli
from unpoison.cli import options
from unpoison.core import threads

COMPUTING = ("demo", "purify", "poison", "train", "score", "energies", "distances", "rerun", "doctor")


def option_names(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}


@pytest.mark.parametrize("name", COMPUTING)
def test_every_command_that_computes_takes_threads(name):
    command = cli._Commands().get_command(click.Context(cli.cli), name)
    assert command is not None
    assert "--threads" in option_names(command)


def test_so_does_every_fit_and_bench():
    fit, bench = (cli._Commands().get_command(click.Context(cli.cli), name) for name in ("fit", "bench"))
    assert isinstance(fit, click.Group)
    assert isinstance(bench, click.Group)
    assert all("--threads" in option_names(command) for command in [*fit.commands.values(), bench.commands["run"]])


@click.command()
@options.threads
def count() -> None:
    """Say how many threads compute."""
    click.echo(torch.get_num_threads())


@pytest.mark.parametrize(("arguments", "used"), [(["--threads", "3"], 3), ([], 2), (["--threads", "auto"], 2)])
def test_a_number_or_what_is_free(monkeypatch, arguments, used):
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(threads, "_all_cores", lambda: 8)
    monkeypatch.setattr(threads, "free_cores", lambda: 2)
    assert CliRunner().invoke(count, arguments).output == f"{used}\n"
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("wrong", ["0", "-1", "all", "2.5", "99999999999"])
def test_a_wrong_number_is_one_line(run, wrong):
    code, _, err = run("purify", "SRC", "DST", "--threads", wrong)
    assert code == 2
    assert f"'--threads': '{wrong}' is neither auto nor a number from 1 to 999" in err
    assert "Traceback" not in err
