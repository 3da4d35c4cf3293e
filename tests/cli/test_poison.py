"""What `poison --json` answers: counts of the whole set, and the facts of every attack."""

from __future__ import annotations

import json

import pytest

from unpoison.data import write


@pytest.fixture
def answer(run, make_set, tmp_path):
    """Poisons 60 pictures of three classes and gives the answer."""
    write(make_set(60), tmp_path / "clean.npz")

    def poison(*options):
        code, out, err = run("poison", tmp_path / "clean.npz", tmp_path / "bad", *options, "--json")
        assert code == 0, err
        return json.loads(out.splitlines()[-1]), (tmp_path / "bad" / "poisoned_ids.txt")

    return poison


def test_part_of_a_set_is_counted_and_so_is_the_whole(answer):
    found, listed = answer("--attack", "lsp", "--fraction", "0.3")
    assert (found["images"], found["poisoned"]) == (60, 18)
    assert len(listed.read_text(encoding="utf-8").splitlines()) == 18
    assert found["kind"] == "availability"


def test_a_whole_set_is_counted_too(answer):
    found, listed = answer("--attack", "urp")
    assert (found["images"], found["poisoned"]) == (60, 60)
    assert not listed.exists()


def test_a_mixture_counts_all_of_its_attacks(answer):
    found, _ = answer("--attack", "lsp+urp", "--set", "lsp.fraction=0.3", "--set", "urp.fraction=0.2")
    assert (found["images"], found["poisoned"]) == (60, 30)
    assert (found["lsp"]["images"], found["urp"]["images"]) == (18, 12)
