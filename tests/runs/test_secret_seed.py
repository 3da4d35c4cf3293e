"""A run whose seed nobody asked for draws one, and goes on with it however it is stopped or split."""

from __future__ import annotations

import threading

import pytest

from runs.conftest import Halt
from unpoison.core.errors import RunError
from unpoison.core.manifest import manifest_path, read_manifest
from unpoison.data import read, write
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs import to_files
from unpoison.runs.parts import Part
from unpoison.runs.run import PurifyRun
from unpoison.runs.store import read_header
from unpoison.runs.to_files import purify_to

SETTINGS = purifier_settings("gaussian-noise")


def secret() -> PurifyRun:
    return PurifyRun.seeded(SETTINGS, None)


def seed_of(target) -> int:
    return read_manifest(manifest_path(target)).steps[-1].seed


@pytest.fixture
def source(make_set, tmp_path, monkeypatch):
    """A folder of five blocks, as blocks here are small."""
    monkeypatch.setattr("unpoison.core.images.BLOCK_IMAGES", 4)
    write(make_set(18, side=8), tmp_path / "in")
    return tmp_path / "in"


def test_every_run_draws_another_seed_which_its_manifest_keeps(source, tmp_path):
    first, second = (purify_to(read(source), tmp_path / name, secret()).manifest.steps[-1] for name in ("a", "b"))
    assert len({first.seed, second.seed, 0}) == 3
    assert first.result != second.result
    asked = purify_to(read(source), tmp_path / "c", PurifyRun.seeded(SETTINGS, first.seed)).manifest.steps[-1]
    assert asked.result == first.result


def test_a_run_that_was_stopped_goes_on_with_its_seed(source, tmp_path, tree, halt_after):
    with pytest.raises(Halt):
        purify_to(read(source), tmp_path / "out", secret(), on_step=halt_after(4))
    begun = read_header(tmp_path / "out.partial")["seed"]
    with pytest.raises(RunError, match=f"holds an unfinished run with seed {begun}; leave --seed out to go on with it"):
        purify_to(read(source), tmp_path / "out", PurifyRun.seeded(SETTINGS, 3))
    purify_to(read(source), tmp_path / "out", secret())
    assert seed_of(tmp_path / "out") == begun
    purify_to(read(source), tmp_path / "again" / "out", PurifyRun.seeded(SETTINGS, begun))
    assert tree(tmp_path / "out") == tree(tmp_path / "again" / "out")


def test_a_run_with_a_seed_goes_on_without_naming_it(source, tmp_path, halt_after):
    with pytest.raises(Halt):
        purify_to(read(source), tmp_path / "out", PurifyRun.seeded(SETTINGS, 3), on_step=halt_after(4))
    purify_to(read(source), tmp_path / "out", secret())
    assert seed_of(tmp_path / "out") == 3


def test_what_is_finished_is_known_again_and_a_replacement_is_drawn_anew(source, make_set, tmp_path):
    target = tmp_path / "out"
    purify_to(read(source), target, secret())
    first = seed_of(target)
    assert purify_to(read(source), target, secret(), overwrite=True).was_there
    with pytest.raises(RunError, match=f"made by `unpoison purify in out --method gaussian-noise --seed {first}`"):
        purify_to(read(source), target, PurifyRun.seeded(SETTINGS, 3))
    # Whoever supplied other pictures may have seen the manifest.
    purify_to(make_set(18, side=8, seed=1), target, secret(), overwrite=True)
    assert seed_of(target) != first


def test_parts_that_begin_at_once_share_a_seed(source, tmp_path, monkeypatch):
    together, begun, missing = threading.Barrier(3), to_files.begun, []

    def look_together(folder):
        found = begun(folder)
        together.wait()
        return found

    monkeypatch.setattr(to_files, "begun", look_together)

    def work(number):
        missing.append(purify_to(read(source), tmp_path / "out", secret(), part=Part(number, 3)).missing)

    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(missing) == 3
    assert seed_of(tmp_path / "out") > 0
