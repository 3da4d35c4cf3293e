"""A full disk, a folder that cannot be written: one line, nothing lost, and the run goes on."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from unpoison.core.errors import RunError
from unpoison.core.images import ArrayImageSet
from unpoison.data import delivery, read
from unpoison.runs import journal, parts, store
from unpoison.runs.to_files import purify_to

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
LINE = r"out\.npz\.partial cannot be written \(No space left on device\); free space .* what is finished is kept"


@pytest.fixture
def image_set(make_set):
    return make_set(1100, side=8)


def _fail_from(monkeypatch, owner, name: str, call: int, error: OSError = FULL):
    """Let a function raise from its n-th call on."""
    function, calls = getattr(owner, name), 0

    def failing(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls >= call:
            raise error
        return function(*arguments, **options)

    monkeypatch.setattr(owner, name, failing)


@pytest.mark.parametrize(
    ("owner", "name", "call", "kept"),
    [
        (store, "atomic_path", 3, 2),  # a block
        (journal.os, "fsync", 4, 1),  # the journal: the header, then a file and a line for each block
        (delivery, "_write", 1, 5),  # the manifest
        (delivery.os, "replace", 7, 5),  # a file for each block, the manifest, the set
    ],
)
def test_wherever_it_happens_the_run_goes_on(image_set, jpeg, tmp_path, monkeypatch, owner, name, call, kept):
    target = tmp_path / "out.npz"
    purify_to(image_set, tmp_path / "reference.npz", jpeg)
    with monkeypatch.context() as patch:
        _fail_from(patch, owner, name, call)
        with pytest.raises(RunError, match=LINE):
            purify_to(image_set, target, jpeg)
    assert not target.exists()
    assert len(list((tmp_path / "out.npz.partial").glob("0*.npz"))) >= kept
    purify_to(image_set, target, jpeg)
    assert target.read_bytes() == (tmp_path / "reference.npz").read_bytes()
    assert not (tmp_path / "out.npz.partial").exists()


def test_a_line_that_fits_in_part(tmp_path, monkeypatch):
    book = journal.Journal(tmp_path / "journal")
    book.append({"block": 0})

    class Cramped:
        """Takes half of what it is given, as a disk does that becomes full."""

        def __init__(self, file):
            self.file = file

        def write(self, data):
            return self.file.write(data[: len(data) // 2])

        def __getattr__(self, name):
            return getattr(self.file, name)

    monkeypatch.setattr(book, "_file", Cramped(book._file))
    with pytest.raises(OSError, match="No space left"):
        book.append({"block": 1})
    book.close()
    assert journal.read_journal(tmp_path / "journal") == [{"block": 0}]
    book = journal.Journal(tmp_path / "journal")
    book.append({"block": 2})
    book.close()
    assert journal.read_journal(tmp_path / "journal") == [{"block": 0}, {"block": 2}]


@pytest.mark.parametrize("owner", [Path, parts.FileLock])
def test_a_folder_that_cannot_be_written(image_set, jpeg, tmp_path, monkeypatch, owner):
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    _fail_from(monkeypatch, owner, "mkdir" if owner is Path else "acquire", 1, denied)
    with pytest.raises(RunError, match=r"out\.npz\.partial cannot be written \(Permission denied\)"):
        purify_to(image_set, tmp_path / "out.npz", jpeg)


def test_a_parent_that_is_a_file(image_set, jpeg, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot be written \(Not a directory\)"):
        purify_to(image_set, tmp_path / "file" / "out.npz", jpeg)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("a file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("side", [16, 32])
def test_a_disk_that_is_really_full(small_disk, jpeg, tmp_path, side):
    """With small pictures the set does not fit beside its blocks, with larger ones the blocks do not fit."""
    images = np.random.default_rng(0).integers(0, 256, (1700, side, side, 3), np.uint8)
    image_set, target = ArrayImageSet(images, np.arange(1700) % 3), small_disk / "out.npz"
    with pytest.raises(RunError, match=LINE):
        purify_to(image_set, target, jpeg)
    assert not target.exists()
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    kept = len(list((small_disk / "out.npz.partial").glob("0*.npz")))
    assert kept == 7 if side == 16 else 0 < kept < 7
    purify_to(image_set, target, jpeg)
    purify_to(image_set, tmp_path / "reference.npz", jpeg)
    assert target.read_bytes() == (tmp_path / "reference.npz").read_bytes()
    assert len(read(target)) == 1700
