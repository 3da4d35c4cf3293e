"""A set and its files appear together, one writer at a time, and a full disk is one line."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from contextlib import suppress

import pytest

from unpoison.core.errors import DiskError, RunError
from unpoison.core.methods import load_method
from unpoison.data import default_format, delivery, read, write
from unpoison.data.methods import METHODS


@pytest.mark.parametrize("name", ["out", "out.npz", "out.parquet"])
def test_files_come_with_the_set(tmp_path, small_set, name):
    write(small_set, tmp_path / name, files=lambda _: {"trigger.npy": b"1", "manifest.json": b"2"})
    inside = name == "out"
    for file, content in (("trigger.npy", b"1"), ("manifest.json", b"2")):
        assert (tmp_path / name / file if inside else tmp_path / f"{name}.{file}").read_bytes() == content
    assert len(read(tmp_path / name)) == len(small_set)
    assert len(os.listdir(tmp_path)) == (1 if inside else 3)


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("name", ["out", "out.npz"])
def test_killed_before_any_operation(tmp_path, small_set, name, monkeypatch):
    """No set is ever there without its files, the same command goes through, and nothing stays beside it."""
    target = tmp_path / name
    manifest = target / "manifest.json" if name == "out" else tmp_path / f"{name}.manifest.json"
    calls = 0

    def die_at(function, stop):
        def counted(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls >= stop:  # nor does a dead process clean up
                raise Killed
            return function(*arguments, **options)

        return counted

    for stop in range(1, 100):
        calls = 0
        with monkeypatch.context() as patch:
            for operation in ("rename", "replace", "fsync", "mkdir", "unlink", "rmdir"):
                patch.setattr(os, operation, die_at(getattr(os, operation), stop))
            with suppress(Killed):
                write(small_set, target, files=lambda _: {"manifest.json": b"m"})
        assert manifest.exists() or not target.exists()
        with suppress(RunError):  # it is there already
            write(small_set, target, files=lambda _: {"manifest.json": b"m"})
        assert manifest.read_bytes() == b"m"
        assert len(read(target)) == len(small_set)
        assert sorted(os.listdir(tmp_path)) == ([name] if name == "out" else [name, manifest.name])
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        if calls < stop:
            return
    raise AssertionError("it takes more operations than were tried")


@pytest.mark.parametrize("name", ["out", "out.npz", "out.parquet"])
@pytest.mark.parametrize("step", ["_begin", "_store", "_finish"])
def test_a_full_disk_is_one_line(tmp_path, small_set, name, step, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writer = load_method(METHODS, default_format("folder", tmp_path / name), kind="format").writer
    monkeypatch.setattr(writer, step, full)
    with pytest.raises(DiskError, match=rf"{name}\.partial cannot be written \(No space left on device\)"):
        write(small_set, tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_a_place_that_cannot_be_written(tmp_path, small_set):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"out cannot be made: .*file is no folder"):
        write(small_set, tmp_path / "file" / "out")
    with pytest.raises(DiskError, match="cannot be written"):
        write(small_set, tmp_path / ("long" * 70))


def test_several_writers_at_once(tmp_path, small_set):
    """One wins, the others are told; whatever is there is whole."""
    together = threading.Barrier(4)
    errors: list[str] = []

    def work():
        together.wait()
        try:
            write(small_set, tmp_path / "out", files=lambda _: {"manifest.json": b"m"})
        except RunError as error:
            errors.append(str(error))

    for _ in range(5):
        errors.clear()
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(errors) == 3
        assert all("by another process" in error or "already there" in error for error in errors)
        assert read(tmp_path / "out").content_hash == small_set.content_hash
        assert os.listdir(tmp_path) == ["out"]
        shutil.rmtree(tmp_path / "out")


def test_work_of_others_in_the_same_folder_stays(tmp_path, small_set):
    folder = tmp_path / "out.partial"
    folder.mkdir()
    (folder / "journal").write_text("")
    write(small_set, tmp_path / "out")
    assert sorted(os.listdir(folder)) == ["assembly", "journal"]
    with pytest.raises(RunError, match="already there"):
        delivery.refuse_existing(tmp_path / "out")
    assert (folder / "journal").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "a/..", "/"])
def test_a_target_without_a_name(small_set, name):
    with pytest.raises(RunError, match="names no new folder or file"):
        write(small_set, name)
