"""What the tests of the command line share."""

from __future__ import annotations

import sys

import pytest

from unpoison.cli import main as cli
from unpoison.core import progress


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a command line in this process: (exit code, stdout, stderr). Nothing tells that it is slow today."""
    monkeypatch.setattr(progress, "_FIRST_S", 60)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["unpoison", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call
