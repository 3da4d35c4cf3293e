"""The doctor finds what is there, and says what to do about what is not."""

from __future__ import annotations

import builtins
import json
import sys

import pytest

from unpoison.cli.doctor import advise

HEALTHY = {
    "self_test": "passed",
    "cores": 4,
    "free_cores": 4,
    "free_memory_gb": 8.0,
    "free_disk_gb": 50.0,
    "missing_extras": [],
}


def test_what_is_found(run):
    code, out, _ = run("doctor", "--json")
    facts = json.loads(out.splitlines()[-1])
    assert code == 0
    assert facts["self_test"] == "passed"
    assert 1 <= facts["free_cores"] <= facts["cores"]
    assert facts["threads"] >= 1
    assert facts["precision"].startswith(("fp32: ", "bf16: "))
    text = run("doctor")[1]
    assert "extra parquet" in text


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"free_cores": 1}, "Only 1 of 4 cores are free"),
        ({"free_memory_gb": 0.7}, "Only 0.7 GB of memory"),
        ({"free_disk_gb": 0.3}, "Only 0.3 GB of disk"),
        ({"missing_extras": ["parquet", "hub"]}, "pip install 'unpoison[parquet,hub]'"),
        ({"self_test": "failed"}, "pip install --force-reinstall unpoison"),
    ],
)
def test_every_fault_has_its_remedy(found, words):
    (line,) = advise({**HEALTHY, **found}, has_driver=False)
    assert words in line


def test_a_healthy_machine_needs_none():
    assert advise({**HEALTHY, "free_memory_gb": None}, has_driver=False) == []
    assert "torch sees no GPU" in advise(HEALTHY, has_driver=True)[0]


def test_a_broken_torch_is_one_line(run, monkeypatch):
    real = builtins.__import__

    def broken(name, *rest):
        if name == "torch":
            raise ImportError("libgomp.so.1: cannot open shared object file")
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(builtins, "__import__", broken)
    code, _, err = run("doctor")
    assert code == 2
    assert err.startswith("unpoison: torch cannot be loaded (libgomp.so.1")
    assert "pip install torch" in err
