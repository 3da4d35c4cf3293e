"""The same bytes, however a run was cut up, killed or resumed; and nothing half-written."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unpoison.core.errors import RunError
from unpoison.core.hashing import hash_file
from unpoison.core.images import ArrayImageSet
from unpoison.core.manifest import manifest_path, read_manifest
from unpoison.data import read, write
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.run import PurifyRun
from unpoison.runs.to_files import purify_to


@pytest.fixture
def run(tiny_model) -> PurifyRun:
    overrides = {"model": str(tiny_model), "t": 4, "precision": "bf16"}
    return PurifyRun(purifier_settings("eclipse", overrides=overrides), seed=3, microbatch=8)


def _tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hash_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def test_whole_halves_and_batch_sizes_agree(make_set, run, tmp_path):
    image_set = make_set(70)
    whole, step = purify_in_memory(image_set, run)
    parts = [purify_in_memory(image_set.subset(rows), run)[0].array() for rows in (range(33), range(33, 70))]
    assert np.array_equal(whole.array(), np.concatenate(parts))
    for batch_size in (1, 8, 24, 256):
        target = tmp_path / f"{batch_size}.npz"
        manifest = purify_to(image_set, target, run, batch_size=batch_size).manifest
        assert manifest.steps[-1].result == step.result == read(str(target)).content_hash
    assert len({hash_file(tmp_path / f"{size}.npz") for size in (1, 8, 24, 256)}) == 1
    assert len({hash_file(manifest_path(tmp_path / f"{size}.npz")) for size in (1, 8, 24, 256)}) == 1


def test_order_ids_and_labels_are_kept(make_set, run, tmp_path):
    image_set = make_set(30)
    write(image_set, tmp_path / "in")
    source = read(str(tmp_path / "in"))
    purify_to(source, tmp_path / "out", run)
    purified = read(str(tmp_path / "out"))
    assert purified.ids == source.ids
    assert purified.labels.tolist() == source.labels.tolist()
    assert purified.class_names == source.class_names
    manifest = read_manifest(tmp_path / "out" / "manifest.json")
    assert manifest.steps[0].source == source.content_hash
    assert manifest.steps[0].result == purified.content_hash
    assert manifest.name == "in"
    assert str(tmp_path) not in (tmp_path / "out" / "manifest.json").read_text()
    assert not (tmp_path / "out.partial").exists()


def test_mixed_sizes_grey_and_transparent(run, tmp_path):
    folder = tmp_path / "in" / "a"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number, (side, mode, channels) in enumerate([(16, "RGB", 3), (24, "L", 1), (16, "RGBA", 4), (20, "LA", 2)]):
        pixels = rng.integers(0, 256, (side, side, channels), dtype=np.uint8)
        Image.fromarray(pixels.squeeze(), mode if mode != "LA" else None).save(folder / f"{number}.png")
    purify_to(read(str(tmp_path / "in")), tmp_path / "out", run)
    modes = {}
    for path in sorted((tmp_path / "out" / "a").glob("*.png")):
        with Image.open(path) as after, Image.open(folder / path.name) as before:
            modes[path.stem] = after.mode
            assert after.size == before.size
            if "A" in after.mode:
                assert np.array_equal(np.asarray(after)[..., -1], np.asarray(before)[..., -1])
            assert not np.array_equal(np.asarray(after), np.asarray(before))
    assert modes == {"0": "RGB", "1": "L", "2": "RGBA", "3": "LA"}
    assert read_manifest(tmp_path / "out" / "manifest.json").modes == {"L": 1, "LA": 1, "RGBA": 1}


def test_an_unfinished_run_with_other_settings_is_refused(make_set, run, tmp_path, monkeypatch):
    target = tmp_path / "out.npz"
    _interrupt_assembly(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        purify_to(make_set(4), target, run)
    monkeypatch.undo()
    other = PurifyRun(run.settings, seed=run.seed + 1, microbatch=run.microbatch)
    with pytest.raises(RunError, match="an unfinished run with seed 3; leave --seed out"):
        purify_to(make_set(4), target, other)
    assert not target.exists()
    purify_to(make_set(4), target, run)
    assert target.exists()


def test_a_damaged_block_is_made_again(make_set, run, tmp_path, monkeypatch):
    target, reference = tmp_path / "out.npz", tmp_path / "reference.npz"
    purify_to(make_set(4), reference, run)
    _interrupt_assembly(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        purify_to(make_set(4), target, run)
    monkeypatch.undo()
    block = tmp_path / "out.npz.partial" / "00000000.npz"
    block.write_bytes(block.read_bytes()[:-50])
    purify_to(make_set(4), target, run)
    assert hash_file(target) == hash_file(reference)


def _interrupt_assembly(monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("unpoison.runs.to_files.assemble", stop)


def _purify_in_child(source: str, target: str, model: str, ready) -> None:
    torch.set_num_threads(1)
    overrides = {"model": model, "t": 10}
    run = PurifyRun(purifier_settings("eclipse", overrides=overrides), microbatch=64)
    image_set = read(source)
    ready.set()
    purify_to(image_set, Path(target), run, device="cpu")


def test_killed_at_ten_random_moments(tmp_path, tiny_model):
    """SIGKILL ten times while blocks are computed, saved, journalled or assembled; then once to the end."""
    images = np.random.default_rng(0).integers(0, 256, (1500, 16, 16, 3), dtype=np.uint8)
    write(ArrayImageSet(images, np.arange(1500) % 3), tmp_path / "in.npz")
    context = multiprocessing.get_context("forkserver")  # children start with torch imported
    context.set_forkserver_preload(["unpoison.runs.to_files", "unpoison.purifiers.eclipse"])

    def start(name: str):
        ready = context.Event()
        arguments = (str(tmp_path / "in.npz"), str(tmp_path / name), str(tiny_model), ready)
        process = context.Process(target=_purify_in_child, args=arguments)
        process.start()
        assert ready.wait(timeout=60)
        return process

    whole = start("whole")
    began = time.perf_counter()
    whole.join()
    duration = time.perf_counter() - began
    assert whole.exitcode == 0

    rng, kills, blocks_seen = random.Random(0), 0, set()
    for _ in range(100):
        if kills >= 10 and len(blocks_seen) > 1:
            break
        process = start("killed")
        # A quarter of the work, so that most kills find it unfinished; later all of it, if no block was done so early.
        time.sleep(rng.uniform(0, duration / 4 if kills < 10 else duration))
        process.kill()
        process.join()
        if process.exitcode == 0:  # it was through before the signal: begin anew
            assert _tree(tmp_path / "killed") == _tree(tmp_path / "whole")
            shutil.rmtree(tmp_path / "killed")
            continue
        assert process.exitcode == -signal.SIGKILL
        kills += 1
        blocks_seen.add(len(list((tmp_path / "killed.partial").glob("0*.npz"))))
    assert kills >= 10
    assert len(blocks_seen) > 1, "no kill fell between two blocks"
    last = start("killed")
    last.join()
    assert last.exitcode == 0
    assert _tree(tmp_path / "killed") == _tree(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.npz", "killed", "whole"]
