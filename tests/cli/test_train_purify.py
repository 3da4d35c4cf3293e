"""`unpoison train --purify`, and `purify --copies`."""

from __future__ import annotations

import json

from unpoison.classify.saving import load_classifier
from unpoison.data import read, write
from unpoison.purifiers.methods import DEFAULT

SMALL = ("--model", "hlb-s", "--set", "epochs=2", "--set", "batch_size=8", "--device", "cpu")


def test_pictures_are_purified_anew_while_it_trains(make_set, run, tmp_path):
    write(make_set(24), tmp_path / "in.npz")
    train = ("train", tmp_path / "in.npz", "--test", tmp_path / "in.npz", *SMALL)
    purify = ("--purify", "fast", "--purify-set", "sigma=12/255")
    code, out, _ = run(*train, "--out", tmp_path / "net", *purify, "--set", "width=4", "--json")
    assert code == 0
    purified = json.loads(out)["purified"]
    assert (purified["method"], purified["draws"], purified["settings"]["fast"]["sigma"]) == ("fast", 2, "12/255")
    again = ("--set", "width=4", "--seed", purified["seed"], "--json")
    code, out, _ = run(*train, "--out", tmp_path / "again", *purify, *again)
    assert json.loads(out)["purified"] == purified
    code, out, _ = run(*train, "--out", tmp_path / "moved", "--init", tmp_path / "net", *purify, "--draws", 1)
    assert code == 0
    assert "s of purifying" in out
    assert load_classifier(tmp_path / "moved").architecture == "hlb-s"


def test_what_goes_with_purify_alone_is_refused_without(run):
    for option in (("--draws", 2), ("--purify-profile", "strong"), ("--purify-set", "sigma=0")):
        code, _, err = run("train", "in", "--test", "b", "--out", "c", *option)
        assert code == 2
        assert "are about --purify, which is not given" in err
    _, _, err = run("train", "in", "--test", "b", "--out", "c", "--purify", "auto")
    assert "auto audits a whole set" in err


def test_purify_without_a_name_is_the_default_and_takes_no_other_word_in_silence(run):
    planned = ("train", "in", "--test", "b", "--out", "c", "--dry-run", "--json", "--purify")
    code, out, _ = run(*planned)
    assert code == 0
    assert "+".join(json.loads(out)["purify"]) == DEFAULT
    code, _, err = run("train", "--purify", "in", "--test", "b", "--out", "c")
    assert code == 2
    assert "SRC, the set to train on, is missing: --purify took 'in' for the name of a purifier; put it last" in err


def test_a_set_of_copies(make_set, run, tmp_path):
    write(make_set(6), tmp_path / "in.npz")
    code, out, _ = run("purify", tmp_path / "in.npz", tmp_path / "out.npz", "--copies", 3)
    assert code == 0
    assert "18 images purified" in out
    assert read(tmp_path / "out.npz").ids[-1] == "00000005~3"
