"""Filt purifies exactly the images of highest energy, and its ranking survives the process that made it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from runs.conftest import Halt
from unpoison import purify
from unpoison.bench.remaking import remake
from unpoison.core.errors import RunError
from unpoison.core.manifest import read_manifest
from unpoison.core.noise import Noise
from unpoison.core.pixels import to_float
from unpoison.data import read, write
from unpoison.nets.weights import load_any
from unpoison.purifiers.chain import build_purifier
from unpoison.purifiers.puregen import filt
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.parts import Part
from unpoison.runs.preview import preview
from unpoison.runs.run import PurifyRun
from unpoison.runs.to_files import purify_to

FEW = {"t": 2, "langevin_steps": 1, "fraction": 0.3, "precision": "fp32"}


@pytest.fixture
def run(tiny_ddpm, tiny_energy) -> PurifyRun:
    overrides = {**FEW, "model": str(tiny_ddpm), "energy": str(tiny_energy)}
    return PurifyRun(purifier_settings("puregen-filt", overrides=overrides), seed=3, microbatch=32)


@pytest.fixture
def image_set(make_set):
    """Three blocks."""
    return make_set(600, side=8)


def highest(image_set, tiny_energy, count: int) -> set[int]:
    """Rows of highest energy."""
    with torch.no_grad():
        energies = load_any(tiny_energy).energy(to_float(image_set.array())).tolist()
    return set(sorted(range(len(energies)), key=energies.__getitem__)[-count:])


def changed(before, after) -> set[int]:
    return set(np.flatnonzero((before.array() != after.array()).any(axis=(1, 2, 3))).tolist())


def test_it_purifies_exactly_the_highest(make_set, run, tiny_energy):
    image_set = make_set(70, side=8)
    purified, step = purify_in_memory(image_set, run)
    rows = changed(image_set, purified)
    assert rows == highest(image_set, tiny_energy, 21)
    # What is purified has the bytes of puregen-naive, whatever else was in the batch: so no call was shared wrongly.
    fields = run.settings["puregen-filt"].model_dump(exclude={"fraction"})
    naive = PurifyRun(purifier_settings("puregen-naive", overrides=fields), seed=3, microbatch=32)
    whole = purify_in_memory(image_set, naive)[0].array()[sorted(rows)].astype(int)
    assert np.abs(purified.array()[sorted(rows)] - whole).max() <= 1
    assert len(step.facts["prepared"]) == 64


@pytest.mark.parametrize(("fraction", "count"), [(0.0, 0), (1.0, 20)])
def test_the_ends_of_the_fraction(make_set, tiny_ddpm, tiny_energy, fraction, count):
    image_set = make_set(20)
    fields = {**FEW, "model": tiny_ddpm, "energy": tiny_energy, "fraction": fraction}
    assert len(changed(image_set, purify(image_set, "puregen-filt", **fields))) == count


def test_one_model_is_enough_without_diffusion(make_set, tiny_energy):
    image_set = make_set(20)
    purified = purify(image_set, "puregen-filt", energy=tiny_energy, t=0, langevin_steps=2, fraction=0.5)
    assert changed(image_set, purified) == highest(image_set, tiny_energy, 10)


def test_whole_resumed_and_in_parts(image_set, run, tmp_path, tree, halt_after, monkeypatch):
    write(image_set, tmp_path / "in")
    source = read(str(tmp_path / "in"))
    purify_to(source, tmp_path / "whole", run)
    expected = tree(tmp_path / "whole")

    ranked = []
    measure = filt.measure_energies
    monkeypatch.setattr(filt, "measure_energies", lambda *given, **more: ranked.append(1) or measure(*given, **more))
    with pytest.raises(Halt):
        purify_to(source, tmp_path / "resumed", run, on_step=halt_after(256))
    (found,) = (tmp_path / "resumed.partial").glob("prepared-*.json")
    assert len(json.loads(found.read_text())["0"]) == 180
    purify_to(source, tmp_path / "resumed", run)
    assert tree(tmp_path / "resumed") == expected
    assert len(ranked) == 1  # by the first process alone

    for number in (3, 1, 2):
        purify_to(source, tmp_path / "parts", run, part=Part(number, 3))
    assert tree(tmp_path / "parts") == expected
    assert len(ranked) == 2


def test_ranks_that_no_longer_hold_end_the_run(image_set, run, tmp_path, halt_after):
    source = tmp_path / "in.npz"
    write(image_set, source)
    with pytest.raises(Halt):
        purify_to(read(str(source)), tmp_path / "out.npz", run, on_step=halt_after(256))
    source.unlink()
    write(type(image_set)(255 - image_set.images, image_set.labels, class_names=image_set.class_names), source)
    with pytest.raises(RunError, match="looked at other pictures"):
        purify_to(read(str(source)), tmp_path / "out.npz", run)


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"0": 5}', "[" * 100_000])
def test_a_damaged_ranking_is_one_line(image_set, run, tmp_path, halt_after, content):
    with pytest.raises(Halt):
        purify_to(image_set, tmp_path / "out.npz", run, on_step=halt_after(256))
    (found,) = (tmp_path / "out.npz.partial").glob("prepared-*.json")
    found.write_text(content)
    with pytest.raises(RunError, match=r"prepared-\w+\.json is damaged; remove it"):
        purify_to(image_set, tmp_path / "out.npz", run)


def test_ray_workers_read_the_ranking(image_set, run, tmp_path, tree):
    pytest.importorskip("ray")
    source = tmp_path / "in.npz"
    write(image_set, source)
    for engine, workers in (("local", None), ("ray", 1)):
        purify_to(read(str(source)), tmp_path / engine / "out.npz", run, engine=engine, workers=workers)
    assert tree(tmp_path / "ray") == tree(tmp_path / "local")


def test_it_is_made_again_from_its_manifest(make_set, tmp_path, tiny_ddpm, tiny_energy):
    write(make_set(20), tmp_path / "in.npz")
    overrides = {f"puregen-filt.{name}": value for name, value in FEW.items()}
    overrides |= {"puregen-filt.model": str(tiny_ddpm), "puregen-filt.energy": str(tiny_energy), "jpeg.quality": 60}
    run = PurifyRun(purifier_settings("jpeg+puregen-filt", overrides=overrides))
    purify_to(read(str(tmp_path / "in.npz")), tmp_path / "out.npz", run)
    step = read_manifest(tmp_path / "out.npz.manifest.json").steps[-1]
    assert step.settings["puregen-filt"]["energy"] == tiny_energy.name  # no folder of this machine
    assert set(step.weights) == {tiny_ddpm.name, tiny_energy.name}
    models = [tiny_ddpm, tiny_energy]
    assert remake(tmp_path / "out.npz.manifest.json", tmp_path / "again.npz", models=models).same


def test_a_preview_has_the_ranks_of_the_whole_set(make_set, run, tiny_energy):
    image_set = make_set(70, side=8)
    chosen = {image_set.ids[row] for row in highest(image_set, tiny_energy, 21)}
    examples = list(preview(image_set, run, count=30))
    assert 0 < sum(example.image_id in chosen for example in examples) < 30
    assert {example.image_id for example in examples if example.change.all_255} == chosen & {
        example.image_id for example in examples
    }


def test_tensors_are_ranked_too(make_set, tiny_ddpm, tiny_energy):
    image_set = make_set(20)
    fields = {**FEW, "model": tiny_ddpm, "energy": tiny_energy, "fraction": 0.5}
    before = to_float(image_set.array())
    after = purify(before, "puregen-filt", **fields)
    rows = set(torch.nonzero((after != before).flatten(1).any(dim=1)).flatten().tolist())
    assert rows == highest(image_set, tiny_energy, 10)


def test_without_a_set_it_says_what_to_do(run, make_set):
    purifier = build_purifier(run.settings, device=torch.device("cpu"))
    with pytest.raises(RunError, match="call prepare first"):
        purifier.purify(to_float(make_set(2).array()), noise=Noise(0, "purify", ["a", "b"]))
