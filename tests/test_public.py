"""What `import unpoison` offers."""

from __future__ import annotations

import numpy as np
import pytest

import unpoison
from unpoison import UnpoisonError
from unpoison.classify.saving import save_classifier
from unpoison.classify.settings import TrainSettings
from unpoison.core.manifest import read_manifest
from unpoison.data import write


def test_the_public_names_are_listed_and_there():
    assert set(dir(unpoison)) == set(unpoison.__all__)
    assert {
        "ImageSet",
        "Purify",
        "UnpoisonError",
        "fit",
        "fit_energy",
        "poison",
        "purify",
        "read",
        "score",
        "train",
        "write",
    } <= set(dir(unpoison))
    for name in dir(unpoison):
        assert getattr(unpoison, name)


def test_poison_train_and_score_take_what_read_takes(make_set, tmp_path):
    write(make_set(24), tmp_path / "train.npz")
    write(make_set(12, seed=1), tmp_path / "test")
    poisoned = unpoison.poison(tmp_path / "train.npz", "urp")
    assert np.array_equal(poisoned.image_set.array(), unpoison.poison(make_set(24), "urp").image_set.array())
    small = {"epochs": 1, "batch_size": 8, "width": 4}
    trained = unpoison.train(str(tmp_path / "train.npz"), test_set=str(tmp_path / "test"), **small)
    same = unpoison.train(make_set(24), test_set=make_set(12, seed=1), settings=TrainSettings(**small))
    assert np.array_equal(trained.predictions, same.predictions)
    scored = unpoison.score(trained, tmp_path / "test")
    save_classifier(tmp_path / "net", trained)
    assert unpoison.score(tmp_path / "net", tmp_path / "test").accuracy == scored.accuracy


def test_poison_takes_settings_as_keywords_and_writes_as_the_command_does(make_set, tmp_path):
    clean = make_set(12)
    weak = unpoison.poison(clean, "urp", epsilon="2/255", fraction=0.5, seed=3)
    assert len(weak.ids) == 6
    assert np.abs(weak.image_set.array().astype(int) - clean.array()).max() == 2
    mixed = unpoison.poison(clean, "lsp+urp", **{"lsp.fraction": 0.5, "urp.fraction": 0.25}, out=tmp_path / "bad")
    assert list(mixed.parts) == ["lsp", "urp"]
    assert unpoison.read(tmp_path / "bad").content_hash == mixed.image_set.content_hash
    assert read_manifest(tmp_path / "bad" / "manifest.json").steps[-1].method == "lsp+urp"
    with pytest.raises(UnpoisonError, match="bad"):
        unpoison.poison(clean, "urp", out=tmp_path / "bad")


def test_fits_take_paths_profiles_and_fields(make_set, tmp_path):
    write(make_set(6, side=32), tmp_path / "clean")
    small = {"iterations": 1, "batch_size": 2, "plots": False}
    result = unpoison.fit(tmp_path / "clean", out=str(tmp_path / "net.safetensors"), profile="compact", **small)
    assert len(result.losses) == 1
    denoiser = unpoison.fit(tmp_path / "clean", "denoiser", out=tmp_path / "own.safetensors", patches=[16], **small)
    assert denoiser.path.exists()
    energy = unpoison.fit_energy(
        tmp_path / "clean", out=tmp_path / "energy.safetensors", profile="digits-ebm", langevin_steps=1, **small
    )
    assert len(energy.trace) == 1


def test_wrong_arguments_are_named(make_set, tmp_path):
    out = tmp_path / "net.safetensors"
    for call, problem in (
        (lambda: unpoison.poison(make_set(6), "urp", epsilom="8/255"), "epsilon"),
        (lambda: unpoison.poison(make_set(6), "urp", fraction=2), "fraction is 2"),
        (lambda: unpoison.train(make_set(6), test_set=make_set(6), epoch=1), "epochs"),
        (lambda: unpoison.train(make_set(6), test_set=make_set(6), settings=TrainSettings(), epochs=1), "omit epochs="),
        (lambda: unpoison.fit(make_set(6), "denoisr", out=out), "denoiser"),
        (lambda: unpoison.fit(make_set(6), out=out, profile="compct"), "compact"),
        (lambda: unpoison.fit_energy(make_set(6), out=out, iteration=1), "iterations"),
    ):
        with pytest.raises(UnpoisonError, match=problem):
            call()
