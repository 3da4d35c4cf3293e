"""Thousands of broken and hostile files, over everything that is read.

Whatever lies in a file: it is read, or refused in one line; within ten seconds, within two gigabytes, and the process
lives. `pytest tests/fuzz --fuzz 20000` tries as many mutations and writes `results/fuzz/outcome.json`.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

_SECONDS, _MIB = 10, 2048
_START_S = 120
_FEW = 150
_TESTS = Path(__file__).parents[1]
_OUTCOME = _TESTS.parent / "results" / "fuzz" / "outcome.json"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")


class _Worker:
    """A process that reads mutations, started again when it dies or hangs."""

    def __init__(self, folder: Path):
        self._folder, self._starts = folder, 0
        self._process: subprocess.Popen[str] | None = None

    def try_one(self, number: int) -> dict[str, Any]:
        """What became of a mutation."""
        process = self._process or self._start()
        assert process.stdin is not None
        process.stdin.write(f"{number}\n")
        process.stdin.flush()
        line = self._read_line(process, _SECONDS)
        if line:
            return json.loads(line)
        hung = process.poll() is None
        self.stop()
        problem = f"over {_SECONDS} s" if hung else f"the process ended with {process.returncode}"
        return {"case": f"number {number}", "outcome": "fault", "detail": problem, "seconds": 0.0, "mib": 0.0}

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[str]:
        self._starts += 1
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_TESTS), *sys.path]), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fuzz.worker", str(self._folder / f"run-{self._starts}" / "files")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        assert self._read_line(self._process, _START_S) == "ready\n", "the sound files cannot be read"
        return self._process

    @staticmethod
    def _read_line(process: subprocess.Popen[str], seconds: float) -> str:
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        return process.stdout.readline() if ready and process.stdout is not None else ""


def _run(folder: Path, count: int) -> dict[str, Any]:
    """Try mutations 0 to `count`; what became of them, with every fault."""
    worker, outcomes, faults = _Worker(folder), [], []
    try:
        for number in range(count):
            outcome = worker.try_one(number)
            outcomes.append(outcome)
            if outcome["outcome"] == "fault" or outcome["seconds"] > _SECONDS or outcome["mib"] > _MIB:
                faults.append({"number": number, **outcome})
    finally:
        worker.stop()
    by_case: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        by_case.setdefault(outcome["case"], Counter())[outcome["outcome"]] += 1
    return {
        "mutations": count,
        "longest_s": round(max(outcome["seconds"] for outcome in outcomes), 2),
        "largest_mib": round(max(outcome["mib"] for outcome in outcomes)),
        "cases": {name: dict(sorted(counts.items())) for name, counts in sorted(by_case.items())},
        "faults": faults,
    }


def test_a_few_mutations(tmp_path):
    found = _run(tmp_path, _FEW)
    assert not found["faults"], json.dumps(found["faults"], indent=1)


@pytest.mark.fuzz
@pytest.mark.timeout(0)
def test_many_mutations(tmp_path, request):
    found = _run(tmp_path, request.config.getoption("--fuzz"))
    _OUTCOME.parent.mkdir(parents=True, exist_ok=True)
    _OUTCOME.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    assert not found["faults"], json.dumps(found["faults"], indent=1)
