"""What a command says beside its answer: the log as lines, and with --debug the traceback of an error."""

from __future__ import annotations

import logging
import sys

import numpy as np
import pytest
from PIL import Image

from unpoison.core.errors import RunError
from unpoison.data import write
from unpoison.fitting import energy

NETWORK = ("--profile", "ebm-small", "--set", "arguments={width=8}")
SHORT = ("batch_size=4", "bank_size=8", "langevin_steps=1", "iterations=2", "checkpoint_every=1")


@pytest.fixture
def broken(tmp_path):
    """A folder of one picture that cannot be decoded, under a name that would clear a screen."""
    folder = tmp_path / "in" / "cat"
    folder.mkdir(parents=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "whole.png")
    whole = (folder / "whole.png").read_bytes()
    (folder / "a\x1b[2J.png").write_bytes(whole[:50] + b"\0\0\0\0" + whole[54:])
    return tmp_path / "in"


def test_an_error_is_one_line_and_debug_shows_what_is_behind_it(run, broken, tmp_path):
    command = ("convert", broken, tmp_path / "out.npz")
    code, _, line = run(*command)
    assert (code, line.count("\n"), "Traceback" in line) == (2, 1, False)
    code, _, told = run("--debug", *command)
    assert code == 2
    assert told.endswith(line)
    assert "Traceback (most recent call last)" in told
    assert "PIL" in told  # where the first error was raised
    assert "The above exception was the direct cause" in told
    assert "\x1b" not in told


def test_debug_shows_causes_that_are_hidden_from_users(run, tmp_path):
    (tmp_path / "suite.toml").write_text("= nothing")
    _, _, told = run("--debug", "bench", tmp_path / "suite.toml", "--out", tmp_path)
    assert "TOMLDecodeError" in told
    assert "--debug" in run("--help")[1]


def test_wrong_flags_have_a_traceback_only_on_demand(run):
    assert "Traceback" not in run("purify", "--nonsense")[2]
    assert "Traceback" in run("--debug", "purify", "--nonsense")[2]


def test_a_fit_says_that_it_goes_on_and_draws_nothing(run, make_set, tmp_path, monkeypatch):
    write(make_set(12, side=32), tmp_path / "in.npz")
    command = ["fit", "ebm", tmp_path / "in.npz", "--out", tmp_path / "net.safetensors", *NETWORK]
    command += [word for setting in SHORT for word in ("--set", setting)]

    def fail(*_, **__):
        raise RunError("stopped at the end")

    with monkeypatch.context() as patch:
        patch.setattr(energy, "write_fit", fail)
        assert run(*command)[::2] == (2, "unpoison: stopped at the end.\n")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = run(*command)
    assert code == 0, err
    assert "unpoison: going on from update 2 of 2\n" in err
    assert "unpoison: no plots are drawn: matplotlib is missing" in err


def test_a_library_leaves_logging_to_its_user(run):
    log = logging.getLogger("unpoison")
    before = (log.level, list(log.handlers))
    run("doctor", "--nonsense")
    assert (log.level, log.handlers) == before == (logging.NOTSET, [])
    assert not log.isEnabledFor(logging.INFO)


def test_messages_end_with_a_stop_except_after_what_is_to_be_copied(run, tmp_path, monkeypatch):
    for command in (
        ("convert", tmp_path / "nothing", tmp_path / "out"),
        ("purify", "digits", "out", "--method", "nonsense"),
        ("train", "digits"),
        ("purify", "in", "out", "--threads", "many"),
        ("purify", "in", "out", "--nonsense"),
    ):
        err = run(*command)[2]
        assert err.rstrip("\n").endswith((".", "?")), err
        assert not err.endswith("..\n")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    assert run("convert", tmp_path / "x.parquet", tmp_path / "out")[2].endswith("pip install 'unpoison[parquet]'\n")
