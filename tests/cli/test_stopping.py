"""Ctrl-C, and errors of the disk that nobody foresaw: one line each, and it is true."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from unpoison.cli import main as cli
from unpoison.core.images import ArrayImageSet
from unpoison.data import write


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("purify", "what is finished is kept, give the same command again to go on"),
        ("fit ebm", "what is finished is kept, give the same command again to go on"),
        ("train", "nothing was kept, the same command begins again"),
        ("distances", "nothing was kept, the same command begins again"),
    ],
)
def test_what_is_said_is_true_of_the_command(run, monkeypatch, command, line):
    def interrupted(context):
        raise KeyboardInterrupt

    name, *below = command.split()
    found = cli.cli.get_command(None, name)
    for part in below:
        found = found.commands[part]
    monkeypatch.setattr(found, "make_context", lambda *_, **__: interrupted(None))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(os, "_exit", sys.exit)
    code, out, err = run(*command.split())
    assert (code, out, err) == (130, "", f"unpoison: stopped; {line}\n")


def test_an_error_of_the_disk_is_one_line(run, monkeypatch):
    def fail(*_, **__):
        raise PermissionError(13, "Permission denied", "secret/x.png")

    monkeypatch.setattr(cli.cli.get_command(None, "convert"), "make_context", fail)
    assert run("convert", "a", "b") == (2, "", "unpoison: secret/x.png: Permission denied.\n")


@pytest.fixture
def start():
    """Starts Python in a process that hears Ctrl-C, even where the tests run in the background; ends it at last."""
    begun = []

    def call(*arguments: str, **kwargs) -> subprocess.Popen[str]:
        def listen() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)

        command = [sys.executable, *arguments]
        begun.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=listen, **kwargs))
        return begun[-1]

    yield call
    for process in begun:
        process.kill()
        process.communicate()


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_is_answered_at_once(make_set, start, tmp_path):
    whole = make_set(300)
    write(ArrayImageSet(whole.images, whole.labels, class_names=whole.class_names), tmp_path / "in.npz")
    arguments = ("purify", "in.npz", "out.npz", "--method", "puregen-ebm", "--set", "steps=100000")
    run = start("-m", "unpoison", *arguments, cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "out.npz.partial" / "journal").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    run.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, err = run.communicate(timeout=30)
    assert time.monotonic() - started < 5
    assert run.returncode == 130, err
    assert err.splitlines()[-1] == "unpoison: stopped; what is finished is kept, give the same command again to go on"
    assert "Traceback" not in err


_DEEP = """
import sys, time
from unpoison.cli import interrupts
from unpoison.cli.main import cli, main

def compute(*_, **__):
    print("begun", flush=True)
    until = time.monotonic() + 30
    while time.monotonic() < until:  # as torch, which looks at no signal while it computes
        try:
            time.sleep(30)
        except KeyboardInterrupt:
            pass

cli.get_command(None, "train").make_context = compute
interrupts._PATIENCE_S = 0.1
sys.argv = ["unpoison", "train"]
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_what_cannot_be_interrupted_is_answered_and_ends_at_the_second_ctrl_c(start):
    run = start("-c", _DEEP, stdout=subprocess.PIPE)
    assert run.stdout.readline() == "begun\n"
    time.sleep(0.2)
    run.send_signal(signal.SIGINT)
    assert run.stderr.readline() == ("unpoison: stopping after the computation at work; Ctrl-C once more ends it now\n")
    run.send_signal(signal.SIGINT)
    assert run.communicate(timeout=10)[1] == "unpoison: stopped at once\n"
    assert run.returncode == 130
