"""What `poison --json` answers: counts of the whole set, and the facts of every attack."""

from __future__ import annotations

import json

import pytest

from unpoison.core.images import ArrayImageSet
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


def test_what_cannot_be_written_is_refused_before_the_attack(run, make_set, tmp_path, monkeypatch):
    monkeypatch.setattr("unpoison.poisons.crafting.poison_mixture", lambda *args, **more: pytest.fail("computed"))
    write(make_set(6), tmp_path / "clean")
    code, _, err = run("poison", tmp_path / "clean", tmp_path / "clean" / "bad", "--attack", "lsp")
    assert (code, err.count("\n")) == (2, 1)
    assert "would be a part of that set" in err
    images = ArrayImageSet(make_set(2).images, [0, 1], class_names=("a", "b"), ids=("12:30", "12:31"))
    write(images, tmp_path / "times.npz")
    code, _, err = run("poison", tmp_path / "times.npz", tmp_path / "bad", "--attack", "lsp")
    assert (code, err.count("\n")) == (2, 1)
    assert "'12:30' cannot be a path" in err


@pytest.mark.parametrize("option", ["--auxiliary", "--target-set"])
def test_a_set_that_no_attack_would_look_at_is_refused(run, make_set, tmp_path, option):
    write(make_set(12), tmp_path / "clean.npz")
    at = ("poison", tmp_path / "clean.npz", tmp_path / "bad", "--attack", "lsp+urp", option, tmp_path / "clean.npz")
    code, _, error = run(*at)
    assert code == 2
    assert f"lsp+urp uses no {option}; omit it" in error
    assert not (tmp_path / "bad").exists()
