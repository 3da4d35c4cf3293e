"""A source that changes while it is purified never becomes a mixed set in silence."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from runs.conftest import Halt
from unpoison.core.errors import DataError, RunError
from unpoison.data import read, write
from unpoison.runs import to_files
from unpoison.runs.parts import Part
from unpoison.runs.to_files import purify_to


def _repaint(path, side=8):
    """Another picture under the same name; the time is set, as a fast test may lie within a tick of the clock."""
    before = path.stat().st_mtime_ns
    Image.fromarray(np.random.default_rng(5).integers(0, 256, (side, side, 3), np.uint8)).save(path)
    os.utime(path, ns=(before + 10**9, before + 10**9))


@pytest.fixture
def count_blocks(monkeypatch):
    made = []
    save = to_files.Store.save

    def note(store, number, stamp, block):
        made.append(number)
        return save(store, number, stamp, block)

    monkeypatch.setattr(to_files.Store, "save", note)
    return made


@pytest.mark.parametrize("format", ["folder", "parquet", "npz"])
def test_between_two_runs(source, jpeg, tmp_path, tree, halt_after, count_blocks, format):
    """The blocks of changed pictures are made again, and only they."""
    target = tmp_path / "out"
    place = {"folder": source, "parquet": tmp_path / "in.parquet", "npz": tmp_path / "in.npz"}[format]
    if format != "folder":
        write(read(source), place)
    with pytest.raises(Halt):
        purify_to(read(place), target, jpeg, on_step=halt_after(1024))
    assert {0, 1, 2, 3} <= set(count_blocks)
    begun = len(count_blocks)
    _repaint(source / "c0" / "00000000.png")
    if format != "folder":
        place.unlink()
        write(read(source), place)
        os.utime(place, ns=(1, 1))
    purify_to(read(place), target, jpeg)
    assert sorted(set(count_blocks[begun:]) - {4}) == [0]
    purify_to(read(place), tmp_path / "reference", jpeg)
    assert tree(target) == tree(tmp_path / "reference")


def test_touched_but_equal_pictures_are_not_done_again(source, jpeg, tmp_path, halt_after, count_blocks):
    with pytest.raises(Halt):
        purify_to(read(source), tmp_path / "out", jpeg, on_step=halt_after(1024))
    begun = set(count_blocks)
    for path in source.rglob("*.png"):
        os.utime(path, ns=(10**18, 10**18))
    count_blocks.clear()
    purify_to(read(source), tmp_path / "out", jpeg)
    assert not begun & set(count_blocks)


def test_a_resumed_run_trusts_contents_only(source, jpeg, tmp_path, tree, halt_after, monkeypatch):
    """Whatever a disk says of sizes and times, as for files that were unpacked over the old ones."""
    monkeypatch.setattr("unpoison.data.pictures.files.file_stamp", lambda path: "as ever")
    with pytest.raises(Halt):
        purify_to(read(source), tmp_path / "out", jpeg, on_step=halt_after(1024))
    _repaint(source / "c0" / "00000000.png")
    purify_to(read(source), tmp_path / "out", jpeg)
    purify_to(read(source), tmp_path / "reference", jpeg)
    assert tree(tmp_path / "out") == tree(tmp_path / "reference")


def test_during_a_run(source, jpeg, tmp_path, tree):
    target, image_set = tmp_path / "out", read(source)

    def change(info):
        if info.step == 1100:
            _repaint(source / "c0" / "00000003.png")

    with pytest.raises(RunError, match=r"^in: the picture 'c0/00000003' was changed during the run; give the same"):
        purify_to(image_set, target, jpeg, on_step=change)
    assert not target.exists()
    purify_to(read(source), target, jpeg)
    purify_to(read(source), tmp_path / "reference", jpeg)
    assert tree(target) == tree(tmp_path / "reference")


def test_during_a_run_in_parts(source, jpeg, tmp_path, tree):
    """Any of the parts notices, and the part that does the block makes it again."""
    target = tmp_path / "out"
    assert purify_to(read(source), target, jpeg, part=Part(1, 2)).missing == 2
    _repaint(source / "c0" / "00000003.png")
    with pytest.raises(RunError, match="'c0/00000003' was changed during the run"):
        purify_to(read(source), target, jpeg, part=Part(2, 2))
    assert purify_to(read(source), target, jpeg, part=Part(2, 2)).missing == 1
    assert purify_to(read(source), target, jpeg, part=Part(1, 2)).missing == 0
    purify_to(read(source), tmp_path / "reference", jpeg)
    assert tree(target) == tree(tmp_path / "reference")


def test_a_picture_that_goes_or_breaks_or_grows_during_a_run(source, jpeg, tmp_path, tree):
    target, image_set = tmp_path / "out", read(source)
    purify_to(image_set, tmp_path / "reference", jpeg)
    path = source / f"{image_set.ids[1000]}.png"
    shutil.copy2(path, tmp_path / "kept.png")

    path.unlink()
    with pytest.raises(DataError, match=rf"{path.name}: there is no such file"):
        purify_to(image_set, target, jpeg)
    assert (tmp_path / "out.partial" / "00000002.npz").exists()
    path.write_bytes((tmp_path / "kept.png").read_bytes()[:60])
    with pytest.raises(DataError, match=rf"{path.name}: the picture is broken"):
        purify_to(image_set, target, jpeg)
    _repaint(path, side=9)
    with pytest.raises(DataError, match=r"record c\d/00000\d+: the picture has another size"):
        purify_to(image_set, target, jpeg)
    shutil.copy2(tmp_path / "kept.png", path)
    purify_to(read(source), target, jpeg)
    assert tree(target) == tree(tmp_path / "reference")


def test_pictures_that_came_or_went_between_two_runs(source, jpeg, tmp_path, halt_after):
    with pytest.raises(Halt):
        purify_to(read(source), tmp_path / "out", jpeg, on_step=halt_after(256))
    (source / "c1" / "00000001.png").unlink()
    with pytest.raises(RunError, match="began with other pictures: since then some were added, removed"):
        purify_to(read(source), tmp_path / "out", jpeg)
