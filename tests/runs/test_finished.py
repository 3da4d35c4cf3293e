"""What lies at the target is believed only if this very run made it from these very pictures."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress

import pytest

from runs.conftest import Halt
from unpoison.core.device import choose_device, processor
from unpoison.core.errors import RunError
from unpoison.core.manifest import manifest_path
from unpoison.data import delivery, read, write
from unpoison.poisons.crafting import poison, write_poisoned
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs import work
from unpoison.runs.run import PurifyRun
from unpoison.runs.to_files import purify_to


@pytest.fixture
def source(make_set, tmp_path, monkeypatch):
    """A folder of five blocks, as blocks here are small."""
    monkeypatch.setattr("unpoison.core.images.BLOCK_IMAGES", 4)
    write(make_set(18, side=8), tmp_path / "in")
    return tmp_path / "in"


@pytest.fixture
def small(make_set, tmp_path):
    """A folder of one block."""
    write(make_set(6, side=8), tmp_path / "small")
    return tmp_path / "small"


@pytest.fixture
def other_run() -> PurifyRun:
    return PurifyRun(purifier_settings("jpeg", overrides={"quality": 40}), seed=3)


@pytest.fixture
def killed(source, jpeg, tmp_path, halt_after):
    """A run into `out` that ended early; `out.partial` is left."""
    with pytest.raises(Halt):
        purify_to(read(source), tmp_path / "out", jpeg, on_step=halt_after(4))
    return tmp_path / "out.partial"


@pytest.mark.parametrize("name", ["out", "out.npz", "out.parquet"])
def test_the_finished_run_again_is_done(small, jpeg, tmp_path, tree, name):
    first = purify_to(read(small), tmp_path / name, jpeg)
    before = tree(tmp_path)
    again = purify_to(read(small), tmp_path / name, jpeg)
    assert (first.was_there, again.was_there) == (False, True)
    assert again.manifest == first.manifest
    forced = purify_to(read(small), tmp_path / name, jpeg, overwrite=True)
    assert forced.was_there
    assert tree(tmp_path) == before


def test_a_flat_folder_without_labels_is_known_again(make_set, jpeg, tmp_path):
    write(make_set(12, side=8), tmp_path / "labelled.npz")
    write(make_set(12, side=8), tmp_path / "flat", format="numbered")
    labelled = read(tmp_path / "flat", labels_from=read(tmp_path / "labelled.npz"))
    purify_to(labelled, tmp_path / "out", jpeg)
    assert purify_to(labelled, tmp_path / "out", jpeg).was_there


def test_other_settings_are_refused_with_the_command_that_was_run(small, jpeg, other_run, tmp_path, tree):
    purify_to(read(small), tmp_path / "out", other_run)
    before = tree(tmp_path)
    command = "`unpoison purify small out --method jpeg --set quality=40 --seed 3`"
    with pytest.raises(RunError, match=f"out is already there, made by {command}.*--overwrite"):
        purify_to(read(small), tmp_path / "out", jpeg)
    assert tree(tmp_path) == before


def test_another_source_or_a_changed_result_is_refused(small, make_set, jpeg, tmp_path):
    purify_to(read(small), tmp_path / "out", jpeg)
    write(make_set(6, side=8, seed=1), tmp_path / "other")
    with pytest.raises(RunError, match="already there, made in the same way from other pictures"):
        purify_to(read(tmp_path / "other"), tmp_path / "out", jpeg)
    shutil.copy(tmp_path / "out" / "c0" / "00000000.png", tmp_path / "out" / "c0" / "00000003.png")
    with pytest.raises(RunError, match="no longer those that its manifest tells of"):
        purify_to(read(small), tmp_path / "out", jpeg)
    (tmp_path / "out" / "c0" / "00000003.png").write_bytes(b"broken")
    with pytest.raises(RunError, match="no longer those that its manifest tells of"):
        purify_to(read(small), tmp_path / "out", jpeg)
    assert not purify_to(read(small), tmp_path / "out", jpeg, overwrite=True).was_there
    assert purify_to(read(small), tmp_path / "out", jpeg).was_there


@pytest.mark.parametrize(("name", "before"), [("out", "folder"), ("out.npz", "npz"), ("out", "npz")])
def test_a_set_is_replaced_whole(small, jpeg, tmp_path, tree, name, before):
    """Nothing of the old one stays in it or beside it, also where a folder takes the place of a file."""
    result = poison(read(small), "urp", fraction=0.5)
    write_poisoned(result, read(small), tmp_path / "a" / name, format=before)
    with pytest.raises(RunError, match=r"made by `unpoison poison small out.* --attack urp`"):
        purify_to(read(small), tmp_path / "a" / name, jpeg)
    purify_to(read(small), tmp_path / "a" / name, jpeg, overwrite=True)
    purify_to(read(small), tmp_path / "b" / name, jpeg)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_a_replacement_that_was_stopped_goes_on(source, jpeg, other_run, tmp_path, tree, halt_after, monkeypatch):
    target = tmp_path / "out"
    purify_to(read(source), target, other_run)
    before = tree(target)
    with pytest.raises(Halt):
        purify_to(read(source), target, jpeg, overwrite=True, on_step=halt_after(4))
    assert tree(target) == before
    with pytest.raises(RunError, match=r"--overwrite. The unfinished run in .*out\.partial is kept"):
        purify_to(read(source), target, jpeg)
    rename, calls = delivery.os.replace, []

    def stop(old, new):
        calls.append(new)
        if new == target:
            raise Halt
        rename(old, new)

    with monkeypatch.context() as patch:
        patch.setattr(delivery.os, "replace", stop)  # the old one is out of the way, the new one not yet there
        with pytest.raises(Halt):
            purify_to(read(source), target, jpeg, overwrite=True)
    assert not target.exists()
    purify_to(read(source), target, jpeg, overwrite=True)
    purify_to(read(source), tmp_path / "reference", jpeg)
    assert tree(target) == tree(tmp_path / "reference")
    assert not (tmp_path / "out.partial").exists()


def test_what_is_the_users_own_is_never_replaced(small, jpeg, tmp_path, tree):
    photo = tmp_path / "photo.npz"
    photo.write_bytes(b"mine")
    for overwrite in (False, True):
        with pytest.raises(RunError, match=r"no manifest of unpoison|no manifest tells that unpoison made"):
            purify_to(read(small), small, jpeg, overwrite=overwrite)
        with pytest.raises(RunError, match=r"no manifest of unpoison|no manifest tells that unpoison made"):
            purify_to(read(small), photo, jpeg, overwrite=overwrite)
    assert photo.read_bytes() == b"mine"
    assert not (tmp_path / "small.partial").exists()
    assert read(small).content_hash


@pytest.mark.parametrize("what", ["poison", "settings", "source", "folder"])
def test_what_came_beside_an_unfinished_run_is_not_taken_for_its_result(
    killed, source, jpeg, other_run, make_set, tmp_path, tree, what
):
    target = tmp_path / "out"
    if what == "poison":
        write_poisoned(poison(read(source), "urp"), read(source), target)
    elif what == "folder":
        write(read(source), target)
    else:
        other = make_set(12, side=8) if what == "source" else read(source)
        purify_to(other, tmp_path / "elsewhere", jpeg if what == "source" else other_run)
        shutil.move(tmp_path / "elsewhere", target)
    before = tree(tmp_path)
    with pytest.raises(RunError, match=r"already there.*The unfinished run in .*out\.partial is kept"):
        purify_to(read(source), target, jpeg)
    assert tree(tmp_path) == before
    shutil.rmtree(target)
    purify_to(read(source), target, jpeg)
    purify_to(read(source), tmp_path / "reference", jpeg)
    assert tree(target) == tree(tmp_path / "reference")


def test_what_comes_during_a_run_is_not_taken_for_its_result(source, jpeg, tmp_path, tree):
    def poison_meanwhile(info):
        if info.step == info.total:
            write_poisoned(poison(read(source), "urp"), read(source), tmp_path / "out")

    with pytest.raises(RunError, match="made by `unpoison poison in out"):
        purify_to(read(source), tmp_path / "out", jpeg, on_step=poison_meanwhile)
    assert (tmp_path / "out.partial" / "00000004.npz").exists()


def test_only_its_own_leftovers_are_removed(killed, source, jpeg, other_run, tmp_path):
    purify_to(read(source), tmp_path / "elsewhere", other_run)
    shutil.move(tmp_path / "elsewhere", tmp_path / "out")
    assert purify_to(read(source), tmp_path / "out", other_run).was_there
    assert killed.exists()
    shutil.rmtree(tmp_path / "out")
    purify_to(read(source), tmp_path / "elsewhere", jpeg)
    shutil.move(tmp_path / "elsewhere", tmp_path / "out")
    assert purify_to(read(source), tmp_path / "out", jpeg).was_there
    assert not killed.exists()


def test_another_kind_of_processor_is_not_mixed_in(killed, source, jpeg, tmp_path, monkeypatch):
    here = processor(choose_device("cpu"))
    with monkeypatch.context() as patch:
        patch.setattr(work, "processor", lambda device, precision: "x86_64 ABACUS")
        with pytest.raises(RunError, match=f"began with processor {here}; with processor x86_64 ABACUS other bytes"):
            purify_to(read(source), tmp_path / "out", jpeg)
    manifest = purify_to(read(source), tmp_path / "out", jpeg).manifest
    assert manifest.steps[-1].processor == here
    monkeypatch.setattr(work, "processor", lambda device, precision: "x86_64 ABACUS")
    assert purify_to(read(source), tmp_path / "out", jpeg).was_there


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize(("name", "before"), [("out", "another set"), ("out.npz", "another set"), ("out", "nothing")])
def test_killed_before_any_operation(small, jpeg, other_run, tmp_path, tree, monkeypatch, name, before):
    """What is at the target is always whole, the same command goes through, and nothing stays beside it."""
    target, page = tmp_path / "a" / name, {"changes.html": b"page"}
    purify_to(read(small), tmp_path / "b" / name, jpeg, draw=lambda *_: page)
    reference = tree(tmp_path / "b")
    (tmp_path / "before").mkdir()
    if before == "another set":
        purify_to(read(small), tmp_path / "before" / name, other_run)
    calls = 0

    def die_at(function, stop):
        def counted(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls >= stop:  # nor does a dead process clean up
                raise Killed
            return function(*arguments, **options)

        return counted

    for stop in range(1, 200):
        shutil.copytree(tmp_path / "before", tmp_path / "a")
        calls = 0
        with monkeypatch.context() as patch:
            for operation in ("rename", "replace", "fsync", "mkdir", "unlink", "rmdir"):
                patch.setattr(os, operation, die_at(getattr(os, operation), stop))
            with suppress(Killed):
                purify_to(read(small), target, jpeg, overwrite=True, draw=lambda *_: page)
        if target.exists():
            assert manifest_path(target).exists()
        purify_to(read(small), target, jpeg, overwrite=True, draw=lambda *_: page)
        assert tree(tmp_path / "a") == reference
        shutil.rmtree(tmp_path / "a")
        if calls < stop:
            return
    raise AssertionError("it takes more operations than were tried")
