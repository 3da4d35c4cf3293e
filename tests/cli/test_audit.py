"""`unpoison audit` from the command line, and `unpoison.audit` from Python."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner

import unpoison
from unpoison.auditing import advice
from unpoison.auditing.candidates import CANDIDATES
from unpoison.cli.main import cli
from unpoison.core.images import ArrayImageSet


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory):
    clean = unpoison.read("digits#train")
    rows = np.arange(400)
    big = np.kron(clean.array()[rows], np.ones((1, 4, 4, 1), np.uint8))
    originals = ArrayImageSet(big, clean.labels[rows], class_names=clean.class_names)
    folder = tmp_path_factory.mktemp("audit")
    unpoison.write(originals, folder / "originals.npz")
    unpoison.write(unpoison.poison(originals, "urp").image_set, folder / "poisoned.npz")
    return folder / "poisoned.npz"


@pytest.fixture(autouse=True)
def _few_candidates(monkeypatch):
    """Two, and short trainings, for time."""
    monkeypatch.setattr(advice, "CANDIDATES", CANDIDATES[:2])
    monkeypatch.setattr(advice, "_QUICK", {"model": "hlb-s", "width": 4, "epochs": 1})


def _run(*words):
    return CliRunner().invoke(cli, ["audit", *map(str, words)])


def test_a_poisoned_set_fails_a_pipeline_and_leaves_page_and_scores(poisoned, tmp_path):
    page, scores = tmp_path / "audit.html", tmp_path / "audit.csv"
    ended = _run(poisoned, "--out", page, "--scores", scores, "--fail-on", "poisoned", "--json")
    assert ended.exit_code == 1
    facts = json.loads(ended.stdout.splitlines()[-1])
    assert facts["answer"] == "poisoned"
    assert facts["findings"][0]["surprise"] > 4
    assert facts["advice"]["method"]
    assert "looks poisoned" in page.read_text()
    with scores.open() as file:
        assert len(list(csv.DictReader(file))) == 400


def test_too_few_pictures_fail_only_where_doubt_does(poisoned):
    part = f"{poisoned}[:100]"
    assert _run(part, "--fail-on", "poisoned").exit_code == 0
    ended = _run(part, "--fail-on", "doubt")
    assert ended.exit_code == 1
    assert "cannot tell: 100 pictures of 10 classes" in ended.stdout


def test_scores_of_another_suffix_are_refused_before_anything_is_measured(poisoned, tmp_path):
    ended = _run(poisoned, "--scores", tmp_path / "scores.xlsx")
    assert "written as .parquet or .csv" in str(ended.exception)
    assert not (tmp_path / "scores.xlsx").exists()


def test_originals_bring_the_theory_and_python_gives_what_the_command_says(poisoned, tmp_path):
    part, originals = f"{poisoned}[:100]", poisoned.with_name("originals.npz")
    ended = _run(part, "--theory", originals, "--out", tmp_path / "audit.html", "--json")
    facts = json.loads(ended.stdout.splitlines()[-1])
    theory = facts["theory"]
    assert (theory["pictures"], theory["originals"]) == (100, "originals.npz")
    assert theory["before"]["difference"] == 1
    assert "What theory says" in (tmp_path / "audit.html").read_text()
    result = unpoison.audit(part, theory=originals)
    assert "None of it is a proof" in str(result)
    assert "unpoison purify" in str(result)
    assert json.loads(json.dumps(result.facts())) == facts
    assert "srcdoc" in result._repr_html_()
    assert len(result.suspicion) == len(result.scores["id"]) == 100
    ended = _run(part, "--theory", f"{originals}[:50]")
    assert "originals.npz has no such picture" in str(ended.exception)
