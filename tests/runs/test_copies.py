"""Several draws of every picture in one set."""

from __future__ import annotations

import numpy as np
import pytest

import unpoison
from runs.conftest import Halt
from unpoison.bench.remaking import remake
from unpoison.core.errors import RunError, SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.core.manifest import manifest_path, read_manifest
from unpoison.data import read, write
from unpoison.data.listed import only_listed
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.fresh import FreshDraws
from unpoison.runs.run import PurifyRun
from unpoison.runs.to_files import purify_to

NOISE = purifier_settings("gaussian-noise")
THREE = PurifyRun(NOISE, seed=3, copies=3)


@pytest.mark.parametrize("name", ["out", "out.npz", "out.parquet"])
def test_every_draw_has_its_id_and_its_label(make_set, tmp_path, name):
    write(make_set(12, side=8), tmp_path / "in.npz")
    manifest = purify_to(read(tmp_path / "in.npz"), tmp_path / name, THREE).manifest
    found, source = read(tmp_path / name), make_set(12, side=8)
    assert (manifest.count, len(found)) == (36, 36)
    named = {image_id.split("/")[-1]: label for image_id, label in zip(found.ids, found.labels, strict=True)}
    assert named == {f"{row:08d}{end}": label for end in ("", "~2", "~3") for row, label in enumerate(source.labels)}
    fresh = FreshDraws(source, PurifyRun(NOISE, seed=3), epochs=3, device="cpu")
    drawn = np.concatenate([fresh(epoch).permute(0, 2, 3, 1).numpy() for epoch in (1, 2, 3)])
    twin = ArrayImageSet(drawn, np.tile(source.labels, 3))
    assert found.content_hash == manifest.steps[-1].result == twin.content_hash


def test_one_copy_is_a_run_without(make_set, tmp_path, tree):
    for folder, run in (("a", PurifyRun(NOISE, seed=3)), ("b", PurifyRun(NOISE, seed=3, copies=1))):
        purify_to(make_set(12, side=8), tmp_path / folder / "out", run)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert "copies" not in read_manifest(tmp_path / "a" / "out" / "manifest.json").steps[-1].settings


def test_a_stopped_run_goes_on_and_is_known_again(make_set, tmp_path, tree, halt_after, monkeypatch):
    monkeypatch.setattr("unpoison.core.images.BLOCK_IMAGES", 5)
    write(make_set(12, side=8), tmp_path / "in")
    with pytest.raises(Halt):
        purify_to(read(tmp_path / "in"), tmp_path / "out", THREE, on_step=halt_after(16))
    with pytest.raises(RunError, match="other settings"):
        purify_to(read(tmp_path / "in"), tmp_path / "out", PurifyRun(NOISE, seed=3, copies=4))
    purify_to(read(tmp_path / "in"), tmp_path / "out", THREE)
    purify_to(read(tmp_path / "in"), tmp_path / "whole" / "out", THREE)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole" / "out")
    assert purify_to(read(tmp_path / "in"), tmp_path / "out", THREE).was_there
    with pytest.raises(RunError, match="--method gaussian-noise --copies 3 --seed 3"):
        purify_to(read(tmp_path / "in"), tmp_path / "out", PurifyRun(NOISE, seed=3))


def test_the_manifest_is_enough_to_make_it_again(make_set, tmp_path):
    write(make_set(12, side=8), tmp_path / "in.npz")
    unpoison.purify(tmp_path / "in.npz", "gaussian-noise", copies=2, out=tmp_path / "out.npz")
    step = read_manifest(manifest_path(tmp_path / "out.npz")).steps[-1]
    assert step.source == make_set(12, side=8).content_hash
    assert remake(manifest_path(tmp_path / "out.npz"), tmp_path / "again.npz").same
    # Purified once more, the history begins with the set before the copies.
    unpoison.purify(tmp_path / "out.npz", "jpeg", out=tmp_path / "twice.npz")
    assert remake(manifest_path(tmp_path / "twice.npz"), tmp_path / "again2.npz", source=str(tmp_path / "in.npz")).same


def test_sets_in_memory_have_copies_and_arrays_have_none(make_set, tmp_path):
    found = unpoison.purify(make_set(6), "gaussian-noise", copies=2, seed=3)
    assert found.ids[5:8] == ("00000005", "00000000~2", "00000001~2")
    assert found.content_hash == unpoison.purify(make_set(6), "gaussian-noise", copies=2, seed=3).content_hash
    (tmp_path / "list").write_text("00000001\n00000001~2\n")
    assert np.array_equal(only_listed(found, tmp_path / "list").array(), found.array()[[1, 7]])
    with pytest.raises(SettingsError, match="copies= is for sets"):
        unpoison.purify(make_set(6).images, copies=2)


def test_copies_that_could_not_be_told_apart_are_refused(make_set, tmp_path):
    source = make_set(2, side=8)
    clash = ArrayImageSet(source.images, source.labels, ids=["a", "a~2"])
    with pytest.raises(SettingsError, match="a copy of another picture would be called 'a~2' too"):
        purify_to(clash, tmp_path / "out", THREE)
    write(source, tmp_path / "flat", format="numbered")
    flat = read(tmp_path / "flat", labels_from=source)
    with pytest.raises(SettingsError, match=r"numbered pictures have no labels for copies; name a DST like out\.npz"):
        purify_to(flat, tmp_path / "out", THREE)
    with pytest.raises(SettingsError, match="copies 0 is no whole number from 1 to 1000"):
        PurifyRun(NOISE, copies=0)
    assert not list(tmp_path.glob("*.partial"))
