"""Several processes share a run: however it is split, the bytes are those of one run."""

from __future__ import annotations

import threading

import pytest

from runs.conftest import Halt
from unpoison.core.errors import RunError, SettingsError
from unpoison.data import read
from unpoison.runs import to_files
from unpoison.runs.parts import Part, hold_part
from unpoison.runs.to_files import purify_to


@pytest.fixture
def whole(source, jpeg, tmp_path, tree):
    purify_to(read(source), tmp_path / "whole", jpeg)
    return tree(tmp_path / "whole")


@pytest.mark.parametrize("text", ["0/3", "4/3", "2", "2/", "a/b", "1/0", "-1/3", "1/3/3", ""])
def test_what_is_no_part(text):
    with pytest.raises(SettingsError, match="not of the form i/n"):
        Part.parse(text)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_the_last_part_assembles(source, jpeg, tmp_path, tree, whole, order):
    target, missing = tmp_path / "out", []
    for number in order:
        assert not target.exists()
        missing.append(purify_to(read(source), target, jpeg, part=Part(number, 3)).missing)
    assert missing[-1] == 0
    assert missing[0] == 3 if order[0] == 1 else 4
    assert tree(target) == whole
    assert not (tmp_path / "out.partial").exists()
    late = purify_to(read(source), target, jpeg, part=Part(1, 3))
    assert late.was_there
    assert late.missing == 0


def test_a_run_goes_on_with_another_split_and_whole(source, jpeg, tmp_path, tree, whole, halt_after, monkeypatch):
    target = tmp_path / "out"
    with pytest.raises(Halt):
        purify_to(read(source), target, jpeg, part=Part(2, 2), on_step=halt_after(256))  # block 1, perhaps 3
    assert purify_to(read(source), target, jpeg, part=Part(3, 3)).missing > 0  # block 2
    files = tmp_path / "out.partial"
    done = {path.name: path.stat().st_mtime_ns for path in files.glob("*.npz")}
    assert {"00000001.npz", "00000002.npz"} <= set(done)
    assert {path.name for path in files.glob("journal*")} == {"journal.2-of-2", "journal.3-of-3"}
    again = []
    save = to_files.Store.save

    def note(store, number, stamp, block):
        again.append(number)
        return save(store, number, stamp, block)

    monkeypatch.setattr(to_files.Store, "save", note)
    purify_to(read(source), target, jpeg)
    assert not {f"{number:08d}.npz" for number in again} & set(done)
    assert len(again) + len(done) == 5
    assert tree(target) == whole


def test_parts_that_finish_at_once_assemble_once(source, jpeg, tmp_path, tree, whole, monkeypatch):
    target, results, assembled = tmp_path / "out", {}, []
    together = threading.Barrier(3)
    hold, assemble = to_files.hold_assembly, to_files.assemble

    def wait_for_others(folder):
        together.wait()
        return hold(folder)

    def count(*arguments, **options):
        assembled.append(1)
        return assemble(*arguments, **options)

    monkeypatch.setattr(to_files, "hold_assembly", wait_for_others)
    monkeypatch.setattr(to_files, "assemble", count)

    def work(number):
        results[number] = purify_to(read(source), target, jpeg, part=Part(number, 3)).missing

    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {1: 0, 2: 0, 3: 0}
    assert len(assembled) == 1
    assert tree(target) == whole
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize(
    ("holder", "other", "message"),
    [
        (Part(), Part(), "by another process;"),
        (Part(), Part(1, 2), "by another process;"),
        (Part(1, 2), Part(), r"by another process \(part 1/2\)"),
        (Part(1, 2), Part(1, 2), r"by another process \(part 1/2\)"),
        (Part(1, 2), Part(1, 3), r"by another process \(part 1/2\)"),
        (Part(1, 2), Part(2, 2), None),
    ],
)
def test_who_may_work_at_the_same_time(tmp_path, holder, other, message):
    with hold_part(tmp_path, holder):
        if message:
            with pytest.raises(RunError, match=message), hold_part(tmp_path, other):
                pass
        else:
            with hold_part(tmp_path, other):
                pass
    with hold_part(tmp_path, other):
        pass


def test_a_part_of_another_run_is_refused(source, jpeg, tmp_path):
    target = tmp_path / "out"
    assert purify_to(read(source), target, jpeg, part=Part(1, 2)).missing == 2
    other = type(jpeg)(jpeg.settings, seed=jpeg.seed + 1)
    with pytest.raises(RunError, match="an unfinished run with seed 0; leave --seed out"):
        purify_to(read(source), target, other, part=Part(2, 2))


def test_a_part_without_blocks_says_so(make_set, jpeg, tmp_path):
    image_set = make_set(10)
    assert purify_to(image_set, tmp_path / "out.npz", jpeg, part=Part(2, 2)).missing == 1
    assert purify_to(image_set, tmp_path / "out.npz", jpeg, part=Part(1, 2)).missing == 0
