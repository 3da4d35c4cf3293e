"""`convert` changes the size and takes a part of every class."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from unpoison.core.manifest import manifest_path, read_manifest
from unpoison.data import read, write


def test_a_folder_of_any_sizes_becomes_one_size(run, tmp_path):
    for number, size in enumerate([(40, 64), (90, 50), (33, 33)]):
        folder = tmp_path / "photos" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (number, 80, 90)).save(folder / f"{number}.jpg", quality=95)
    code, out, err = run("convert", tmp_path / "photos", tmp_path / "prior", "--size", 32, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"images": 3, "per_class": {"cat": 2, "dog": 1}, "hash": json.loads(out)["hash"]}
    prior = read(tmp_path / "prior")
    assert prior.array().shape == (3, 32, 32, 3)
    assert set(prior.ids) == {"cat/0", "cat/2", "dog/1"}
    assert prior.content_hash == json.loads(out)["hash"]


@pytest.mark.parametrize("size", ["0", "-3", "20000", "big"])
def test_a_wrong_size(run, tmp_path, size):
    code, _, err = run("convert", "digits", tmp_path / "out.npz", "--size", size)
    assert code == 2
    assert "--size" in err
    assert not (tmp_path / "out.npz").exists()


def test_the_split_of_bullseye_from_any_set(run, make_set, tmp_path):
    whole = make_set(20, classes=3)
    write(whole, tmp_path / "whole.npz")
    for asked, name in ((":4", "bodies"), ("4:", "others")):
        assert run("convert", tmp_path / "whole.npz", tmp_path / f"{name}.npz", "--per-class", asked)[0] == 0
    bodies, others = read(tmp_path / "bodies.npz"), read(tmp_path / "others.npz")
    assert np.bincount(bodies.labels).tolist() == [4, 4, 4]
    assert np.bincount(others.labels).tolist() == [3, 3, 2]
    assert bodies.ids == whole.ids[:12]
    assert others.ids == whole.ids[12:]


@pytest.mark.parametrize(
    ("asked", "problem"), [("4", "write :N"), (":4:", "write :N"), ("a:", "write :N"), ("100:", "leaves nothing")]
)
def test_a_wrong_part(run, make_set, tmp_path, asked, problem):
    write(make_set(), tmp_path / "whole.npz")
    code, _, err = run("convert", tmp_path / "whole.npz", tmp_path / "out.npz", "--per-class", asked)
    assert code == 2
    assert problem in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("target", "output_format", "better"),
    [
        ("x.parquet", "npz", "x.npz"),
        ("x.npz", "folder", "x"),
        ("x.tar", "parquet", "x.parquet"),
        ("x.tar", "numbered", "x"),
    ],
)
def test_a_name_says_what_is_in_it(run, make_set, tmp_path, target, output_format, better):
    write(make_set(4), tmp_path / "in.npz")
    code, _, err = run("convert", tmp_path / "in.npz", tmp_path / target, "--to", output_format)
    assert (code, err) == (2, f"unpoison: '{target}' is no name for the format {output_format}; call it {better}.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["in.npz"]
    assert run("convert", tmp_path / "in.npz", tmp_path / better, "--to", output_format)[0] == 0


def test_pictures_are_told_as_they_are_written(make_set, tmp_path):
    told = []
    write(make_set(300), tmp_path / "out", on_step=told.append)
    assert [(info.step, info.total) for info in told] == [(256, 300), (300, 300)]


def test_the_history_goes_along(run, make_set, tmp_path):
    """With the same pixels; what was left out is counted."""
    write(make_set(12), tmp_path / "in")
    (tmp_path / "in" / "c0" / "notes.txt").write_text("hello")
    assert run("poison", tmp_path / "in", tmp_path / "bad", "--attack", "urp")[0] == 0
    assert run("convert", tmp_path / "bad", tmp_path / "bad.npz")[0] == 0
    poisoned, converted = (read_manifest(manifest_path(tmp_path / name)) for name in ("bad", "bad.npz"))
    assert converted.steps == poisoned.steps
    assert converted.name == "bad"
    assert run("convert", tmp_path / "bad", tmp_path / "small", "--size", 8)[0] == 0
    assert not (tmp_path / "small" / "manifest.json").exists()  # other pixels: there is nothing to tell of them
    assert run("convert", tmp_path / "in", tmp_path / "in.npz")[0] == 0
    assert sum(read_manifest(manifest_path(tmp_path / "in.npz")).notes.values()) == 1
    again = ["--source", tmp_path / "in", "--out", tmp_path / "again"]
    code, out, err = run("rerun", tmp_path / "bad.npz", *again, "--json")
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["same"]
