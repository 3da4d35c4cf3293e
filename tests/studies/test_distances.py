"""Distances of purified pictures, on an energy whose way is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from unpoison.core.errors import DataError
from unpoison.core.images import ArrayImageSet
from unpoison.nets.energy import SnganEnergy
from unpoison.nets.pixel_energy import PixelEnergy
from unpoison.nets.weights import load_model, save_model
from unpoison.purifiers.energies import measure_energies
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.run import PurifyRun
from unpoison.studies.distances import Station, crossing, lengths, measure_distances, pair_up

GREY, POISON = 128, 12


@pytest.fixture(scope="module")
def grey_model(tmp_path_factory) -> Path:
    """Weights whose energy pulls every 4x4 block to grey: by 0.0061 a step, of [-1, 1], at temperature 1e-5."""
    net = SnganEnergy(6)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.block1.c_sc.weight[:, :, 0, 0] = torch.cat([torch.eye(3), -torch.eye(3)])
        net.block2.c_sc.weight[:, :, 0, 0] = torch.eye(6)
        net.l5.weight.fill_(0.2)
    path = tmp_path_factory.mktemp("models") / "grey.safetensors"
    save_model(path, PixelEnergy(net), architecture="sngan-energy", arguments={"width": 6}, kind="raw", settings={})
    return path


@pytest.fixture
def grey_sets() -> tuple[ArrayImageSet, ArrayImageSet]:
    """Grey pictures, and the same with 12 levels more: 0.094 of [-1, 1]."""
    images = np.full((6, 16, 16, 3), GREY, np.uint8)
    return ArrayImageSet(images, [0, 1] * 3), ArrayImageSet(images + POISON, [0, 1] * 3)


def run_of(method: str, model: Path, **overrides) -> PurifyRun:
    return PurifyRun(purifier_settings(method, overrides={"model": str(model), **overrides}), seed=1)


def station(strength: int, to_clean: float, to_poisoned: float) -> Station:
    return Station(strength, to_clean, to_poisoned, 0.0, 0.0)


def test_poison_is_left_behind_when_half_of_it_is_gone(grey_sets, grey_model):
    told = []
    run = run_of("puregen-ebm", grey_model, steps=20, temperature=1e-5, precision="fp32")
    stations = measure_distances(*grey_sets, run, device="cpu", on_step=told.append)
    assert [one.strength for one in stations] == [0, 1, 2, 5, 10, 20]
    assert [(info.step, info.total) for info in told] == [(number, 6) for number in range(1, 7)]
    length = POISON / 255 * np.sqrt(16 * 16 * 3)
    first, last = stations[0], stations[-1]
    assert (first.to_poisoned, first.clean_to_clean, first.nearer_to_clean) == (0, 0, 0)
    assert first.to_clean == pytest.approx(length, rel=1e-5)
    # 0.0061 a step undo half of 0.094 in 7.7 steps, and all of it in 15.4, after which it is as if never poisoned.
    assert crossing(stations) == stations[4]
    assert [one.nearer_to_clean for one in stations] == [0, 0, 0, 0, 1, 1]
    assert last.to_clean == pytest.approx(last.clean_to_clean, rel=0.05)
    assert last.to_poisoned**2 == pytest.approx(last.to_clean**2 + length**2, rel=0.05)
    # The noise of a step, 0.0125 of [-1, 1], moves clean pictures too, and so does the pull.
    assert stations[1].clean_to_clean == pytest.approx(np.hypot(0.0125, 0.0061) / 2 * np.sqrt(16 * 16 * 3), rel=0.06)


def test_energies_are_those_of_the_stored_pictures(grey_sets, grey_model):
    run = run_of("puregen-ebm", grey_model, steps=10, temperature=1e-5)
    stations = measure_distances(*grey_sets, run, device="cpu")
    stored = [purify_in_memory(one, run, device="cpu")[0] for one in grey_sets]
    clean, poisoned = (measure_energies(one, load_model(grey_model), device=torch.device("cpu")) for one in stored)
    assert stations[-1].clean_energy == pytest.approx(clean.mean(), rel=0.02)
    assert stations[-1].energy == pytest.approx(poisoned.mean(), rel=0.02)
    assert stations[0].energy > stations[-1].energy


def test_round_trips_have_no_energy(grey_sets, tiny_ddpm):
    stations = measure_distances(*grey_sets, run_of("puregen-ddpm", tiny_ddpm, t=2), device="cpu")
    assert [one.strength for one in stations] == [0, 1, 2, 4]
    assert stations[-1].to_clean > 0
    assert stations[-1].energy is None


def test_the_crossing_is_where_pictures_come_to_stay():
    stations = [station(0, 1, 0), station(1, 1, 2), station(2, 1, 1), station(5, 2, 3), station(10, 2, 4)]
    assert crossing(stations) == stations[3]
    assert crossing(stations[:3]) is None


def test_lengths_are_euclidean_in_unit_range():
    pictures = np.zeros((2, 2, 2, 3), np.uint8)
    others = pictures.copy()
    others[1, 0, 0, :2] = 3, 4
    assert lengths(pictures, others) == pytest.approx([0, 5 / 255])
    assert lengths(others, pictures) == pytest.approx([0, 5 / 255])  # no wrapping below 0


def test_pairs_are_changed_pictures_of_one_id(make_set):
    clean = make_set(12)
    images = clean.array()[[11, 2, 5, 7, 0]].copy()
    images[[0, 1, 3, 4], 0, 0, 0] ^= 1  # picture 5 stays as it is
    ids = [clean.ids[row] for row in (11, 2, 5, 7, 0)]
    poisoned = ArrayImageSet(images, clean.labels[[11, 2, 5, 7, 0]], ids=ids)
    before, after = pair_up(clean, poisoned, count=10)
    assert before.ids == after.ids
    assert sorted(after.ids) == sorted(clean.ids[row] for row in (11, 2, 7, 0))
    assert (before.array() != after.array()).sum(axis=(1, 2, 3)).tolist() == [1] * 4
    few = pair_up(clean, poisoned, count=3)[1]
    assert sorted(few.labels.tolist()) == [0, 1, 2]


def test_sets_that_do_not_belong_together_are_refused(make_set):
    with pytest.raises(DataError, match=r"00000004: array has no such picture"):
        pair_up(make_set(4), make_set(6), count=4)
    with pytest.raises(DataError, match="no picture differs"):
        pair_up(make_set(4), make_set(4), count=4)
    with pytest.raises(DataError, match="another size"):
        pair_up(make_set(4, side=32), make_set(4), count=4)
