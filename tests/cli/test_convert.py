"""`convert` changes the size and takes a part of every class."""

from __future__ import annotations

import hashlib
import json
import time

import numpy as np
import pytest
from PIL import Image

from unpoison.core.images import ArrayImageSet
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


def _ids(path) -> tuple[str, ...]:
    return read(path).ids


@pytest.mark.parametrize("source", ["in", "in.npz", "in.parquet"])
def test_pictures_are_kept_or_left_out_by_a_list(run, make_set, tmp_path, source):
    write(make_set(12, classes=2), tmp_path / source)
    ids = _ids(tmp_path / source)
    chosen = tmp_path / "list.txt"
    chosen.write_bytes(f"\ufeff# by hand\r\n{ids[7]}\r\n\r\n  \n{ids[2]}\n{ids[7]}".encode())
    code, out, err = run("convert", tmp_path / source, tmp_path / "kept.npz", "--only", chosen, "--json")
    assert (code, err) == (0, "")
    assert (json.loads(out)["images"], json.loads(out)["left_out"]) == (2, 10)
    assert _ids(tmp_path / "kept.npz") == (ids[2], ids[7])
    code, out, err = run("convert", tmp_path / source, tmp_path / "others", "--without", chosen)
    assert (code, err) == (0, "")
    assert "10 images in 2 classes" in out
    assert "2 left out" in out
    others, whole = read(tmp_path / "others"), read(tmp_path / source)
    rows = [row for row in range(12) if row not in (2, 7)]
    assert sorted(name.split("/")[-1] for name in others.ids) == sorted(ids[row].split("/")[-1] for row in rows)
    assert others.content_hash == whole.subset(rows).content_hash
    digest = hashlib.sha256(chosen.read_bytes()).hexdigest()
    notes = {name: read_manifest(manifest_path(tmp_path / name)).notes for name in ("kept.npz", "others")}
    assert notes["kept.npz"] == {f"pictures left out, as list.txt (sha256 {digest}) does not name them": 10}
    assert notes["others"] == {f"pictures left out, as list.txt (sha256 {digest}) names them": 2}


@pytest.mark.parametrize("target", ["out", "out.npz", "out.parquet"])
def test_a_class_that_a_list_empties_keeps_its_name_and_number(run, make_set, tmp_path, target):
    write(make_set(12), tmp_path / "in.npz")
    whole = read(tmp_path / "in.npz")
    (tmp_path / "list.txt").write_text("\n".join(whole.ids[row] for row in range(12) if whole.labels[row] == 1))
    code, _, err = run("convert", tmp_path / "in.npz", tmp_path / target, "--without", tmp_path / "list.txt")
    assert code == 0
    assert err == "unpoison: in.npz: classes left without pictures: 1 (c1)\n"
    part = read(tmp_path / target)
    assert part.class_names == ("c0", "c1", "c2")
    assert np.bincount(part.labels, minlength=3).tolist() == [4, 0, 4]
    assert read_manifest(manifest_path(tmp_path / target)).notes["classes left without pictures"] == 1


def test_ids_that_are_not_in_the_set_are_named(run, make_set, tmp_path):
    write(make_set(12), tmp_path / "in.npz")
    (tmp_path / "list.txt").write_text("00000003\nc0/1\n# x\n7\n 00000004\n00000099\n")
    code, _, err = run("convert", tmp_path / "in.npz", tmp_path / "out.npz", "--only", tmp_path / "list.txt")
    assert code == 2
    assert err.count("\n") == 1
    assert "4 of the ids it lists are not in in.npz: 'c0/1' (line 2), '7' (line 4), ' 00000004' (line 5), ..." in err
    assert "Ids there look like '00000000'" in err
    assert not (tmp_path / "out.npz").exists()


def test_an_id_may_begin_as_a_comment(run, make_set, tmp_path):
    made = make_set(3)
    named = ArrayImageSet(made.images, made.labels, class_names=made.class_names, ids=["#1/a", "c1/b", "c2/c"])
    write(named, tmp_path / "in.npz")
    (tmp_path / "list.txt").write_text("# a comment\n#1/a\n")
    assert run("convert", tmp_path / "in.npz", tmp_path / "out.npz", "--without", tmp_path / "list.txt")[0] == 0
    assert _ids(tmp_path / "out.npz") == ("c1/b", "c2/c")


@pytest.mark.parametrize(
    ("content", "options", "problem"),
    [
        (b"# nothing\n\n", ["--only"], "nothing is left of in.npz"),
        (b"00000000\n00000001\n00000002\n", ["--without"], "nothing is left of in.npz"),
        (b"\xff\xfe0", ["--only"], "not text in UTF-8"),
        (None, ["--only"], "there is no such file"),
        (b"00000000", ["--only", "--without"], "omit one"),
    ],
)
def test_a_wrong_list(run, make_set, tmp_path, content, options, problem):
    write(make_set(3), tmp_path / "in.npz")
    if content is not None:
        (tmp_path / "list.txt").write_bytes(content)
    lists = [word for option in options for word in (option, tmp_path / "list.txt")]
    code, _, err = run("convert", tmp_path / "in.npz", tmp_path / "out.npz", *lists)
    assert code == 2
    assert problem in err
    assert not (tmp_path / "out.npz").exists()


def test_a_list_of_half_of_50000_pictures_is_quick(run, tmp_path):
    images = np.zeros((50_000, 1, 1, 3), np.uint8)
    write(ArrayImageSet(images, np.arange(50_000) % 10), tmp_path / "in.npz")
    (tmp_path / "list.txt").write_text("".join(f"{row:08d}\n" for row in range(0, 50_000, 2)))
    begun = time.process_time()
    assert run("convert", tmp_path / "in.npz", tmp_path / "out.npz", "--without", tmp_path / "list.txt")[0] == 0
    assert time.process_time() - begun < 10
    assert len(read(tmp_path / "out.npz")) == 25_000
