"""`bench` runs a suite by its name alone, and `bench compare` holds its records against published figures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

RESULTS = Path(__file__).parents[2] / "results"


def test_compare_prints_and_writes(run, tmp_path):
    folder = tmp_path / "fast-test"
    shutil.copytree(RESULTS / "fast-test", folder)
    code, out, err = run("bench", "compare", folder)
    assert (code, err) == (0, "")
    assert "## ECLIPSE, 2024: Table 1, ResNet-18" in out
    assert (folder / "comparison.md").read_text().rstrip() == out.rstrip()
    assert "<h2>ECLIPSE, 2024: Table 1, ResNet-18</h2>" in (folder / "comparison.html").read_text()
    code, out, _ = run("bench", "compare", folder, "--json")
    facts = json.loads(out)
    assert code == 0
    one = next(one for one in facts["compared"] if one["paper"].startswith("Liu") and one["attack"] == "tap")
    assert one["published"] == 8.17
    assert one["low"] < one["ours"] < one["high"]
    assert one["difference"] == round(one["ours"] - one["published"], 4)


def test_a_suite_needs_no_word_before_it(run, tmp_path):
    for words in (("bench",), ("bench", "run")):
        code, _, err = run(*words, "quik", "--out", tmp_path)
        assert code == 2
        assert "there is no suite 'quik'; did you mean 'quick'?" in err
    code, out, _ = run("bench", "--help")
    assert code == 0
    assert "compare" in out
