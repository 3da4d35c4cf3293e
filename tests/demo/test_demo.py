"""The demos show what they say: the poison works, purification brings the accuracy back."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "folder", "least"),
    [
        ("fast", "digits", 92),
        ("puregen-ddpm", "digits-puregen-ddpm", 92),
        ("puregen-ebm", "digits-puregen-ebm", 80),
    ],
)
def test_demo(method, folder, least, tmp_path):
    command = [sys.executable, "-m", "unpoison", "demo", "--method", method, "--out", str(tmp_path / "out"), "--json"]
    lines = [subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines() for _ in range(2)]
    figures = json.loads(lines[0][-1])
    assert figures["clean"] >= 97
    assert figures["poisoned"] <= 50
    assert figures["purified"] >= least
    assert figures["purified"] > figures["jpeg"]
    assert json.loads(lines[1][-1]) == figures, "a second call reads the records"
    page = (tmp_path / "out" / folder / "page.html").read_text()
    assert page.count("<figure>") == 6
    assert len(list((tmp_path / "out" / folder).glob("*.json"))) == 6
