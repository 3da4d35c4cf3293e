"""D-VAE learns from a poisoned set what its classes share, and takes it off."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from runs.conftest import Halt
from torch import Tensor

from unpoison import purify
from unpoison.core.device import same_bits
from unpoison.core.errors import RunError, SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.core.noise import Noise, generator
from unpoison.core.pixels import to_float
from unpoison.data import read
from unpoison.data.pictures.loose import PictureListSet, from_channels
from unpoison.purifiers.chain import build_purifier
from unpoison.purifiers.d_vae import purifier as d_vae
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.calls import purify_images
from unpoison.runs.run import PurifyRun
from unpoison.runs.to_files import purify_to

CPU = torch.device("cpu")
EPOCHS = 8
TINY = {"epochs": 1, "width": 2, "batch_size": 16}


@dataclass
class Learned:
    """A purifier after its look at a poisoned set, with what went on meanwhile."""

    purifier: d_vae.DVaePurifier
    clean: Tensor
    poisoned: Tensor
    labels: Tensor
    ids: tuple[str, ...]
    steps: list


@pytest.fixture(scope="module")
def learned() -> Learned:
    """Faint digits of three classes, each class under coarse noise of its own."""
    digits = read("digits#train")
    rows = np.flatnonzero(digits.labels < 3)[:256]
    clean, labels = 96 + digits.array()[rows] // 4, digits.labels[rows]
    patches = np.random.default_rng(0).choice([-16, 16], (3, 8, 8, 3)).repeat(2, axis=1).repeat(2, axis=2)
    poisoned = (clean + patches[labels]).astype(np.uint8)
    image_set = ArrayImageSet(poisoned, labels, class_names=("0", "1", "2"))
    made = build_purifier(
        purifier_settings("d-vae", overrides={"epochs": EPOCHS, "width": 8, "batch_size": 32}), device=CPU
    )
    steps = []
    purifier = made.prepare(image_set, generator=generator(0, "test"), on_step=steps.append)
    assert made.prepared is None
    return Learned(purifier, to_float(clean), to_float(poisoned), torch.from_numpy(labels), image_set.ids, steps)


def correlation(first: Tensor, second: Tensor) -> float:
    """Mean over the pictures."""
    first, second = (one.flatten(1) - one.flatten(1).mean(dim=1, keepdim=True) for one in (first, second))
    return torch.cosine_similarity(first, second).mean().item()


def rms(difference: Tensor) -> float:
    return difference.square().mean().sqrt().item()


@pytest.mark.parametrize("stage", [1, 2])
def test_both_stages_lower_their_loss(learned, stage):
    losses = [step.values["loss"] for step in learned.steps if step.doing == f"learning, stage {stage} of 2"]
    assert len(losses) == EPOCHS * 8
    assert np.mean(losses[-8:]) < 0.5 * np.mean(losses[:8])


def test_progress_counts_the_pictures_of_both_stages(learned):
    assert [step.step for step in learned.steps[:2]] == [32, 64]
    assert learned.steps[-1].step == learned.steps[-1].total == 2 * EPOCHS * 256


def test_what_it_takes_off_is_what_was_laid_over(learned):
    network = learned.purifier._networks[0]
    noise = torch.randn(len(learned.poisoned), *network.grid, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        estimate = network(learned.poisoned, learned.labels, noise).perturbation
    laid_over = learned.poisoned - learned.clean
    others = laid_over[torch.randperm(len(laid_over), generator=torch.Generator().manual_seed(0))]
    assert correlation(estimate, laid_over) > 0.15
    assert correlation(estimate, laid_over) > 1.5 * correlation(estimate, others)


def test_purified_pictures_are_nearer_to_the_clean_ones(learned):
    with same_bits(CPU):
        purified = purify_images(learned.purifier, learned.poisoned, learned.ids, seed=0, call=64)
    assert rms(purified - learned.clean) < 0.9 * rms(learned.poisoned - learned.clean)


def test_what_is_kept_survives_json_and_is_not_learned_again(learned):
    kept = json.loads(json.dumps(learned.purifier.prepared))
    restored = build_purifier({"d-vae": learned.purifier.settings}, device=CPU).restore(kept)
    noise = Noise(0, "test", learned.ids[:4])
    one, other = (made.purify(learned.poisoned[:4], noise=noise) for made in (learned.purifier, restored))
    assert torch.equal(one, other)


def test_bytes_do_not_depend_on_batch_size_nor_on_interruptions(make_set, tmp_path, monkeypatch):
    image_set = make_set(300, side=8)
    run = PurifyRun(purifier_settings("d-vae", overrides=TINY), seed=3, microbatch=32)
    for batch_size in (1, 256):
        purify_to(image_set, tmp_path / f"{batch_size}.npz", run, batch_size=batch_size)
    expected = (tmp_path / "1.npz").read_bytes()
    assert (tmp_path / "256.npz").read_bytes() == expected

    learn, stages = d_vae.learn, []
    monkeypatch.setattr(d_vae, "learn", lambda *given, **more: stages.append(1) or learn(*given, **more))

    def halt(info):
        if not info.doing and info.step >= 256:
            raise Halt

    with pytest.raises(Halt):
        purify_to(image_set, tmp_path / "resumed.npz", run, on_step=halt)
    purify_to(image_set, tmp_path / "resumed.npz", run)
    assert (tmp_path / "resumed.npz").read_bytes() == expected
    assert len(stages) == 2  # by the first process alone


@pytest.mark.parametrize(
    "damage", [{"size": [8]}, {"networks": ["", ""]}, {"networks": ["YWJj", "YWJj"]}, {"classes": 9}]
)
def test_damaged_networks_are_one_line(make_set, tmp_path, damage):
    run = PurifyRun(purifier_settings("d-vae", overrides=TINY))

    def halt(info):
        if not info.doing:
            raise Halt

    with pytest.raises(Halt):
        purify_to(make_set(20, side=8), tmp_path / "out", run, on_step=halt)
    (kept,) = (tmp_path / "out.partial").glob("prepared-*.json")
    found = json.loads(kept.read_text())
    kept.write_text(json.dumps({"0": {**found["0"], **damage}}))
    with pytest.raises(RunError, match="is damaged; remove it"):
        purify_to(make_set(20, side=8), tmp_path / "out", run)


def test_it_refuses_what_it_cannot_learn_from(make_set):
    image_set = make_set(20, side=8)
    unlabelled = ArrayImageSet(image_set.images, [0, -1] * 10, class_names=("a",))
    with pytest.raises(SettingsError, match=r"10 pictures of .* have no label"):
        purify(unlabelled, "d-vae", **TINY)
    pictures = [from_channels(np.zeros((side, 8, 3), np.uint8)) for side in (8, 9)]
    mixed = PictureListSet(pictures, [0, 0], class_names=("a",), ids=["0", "1"], name="mixed")
    with pytest.raises(SettingsError, match=r"pictures of one size, and .* has 2"):
        purify(mixed, "d-vae", **TINY)
    many = ArrayImageSet(
        np.zeros((2, 64, 64, 3), np.uint8), [0, 999], class_names=[str(label) for label in range(1000)]
    )
    with pytest.raises(SettingsError, match=r"at this size and number of classes.* set width below 64"):
        purify(many, "d-vae")


def test_pictures_it_has_not_met_are_refused(learned):
    with pytest.raises(RunError, match="has not learned from picture 'strange'"):
        learned.purifier.purify(learned.poisoned[:1], noise=Noise(0, "test", ["strange"]))
    unprepared = build_purifier({"d-vae": learned.purifier.settings}, device=CPU)
    with pytest.raises(RunError, match="call prepare first"):
        unprepared.purify(learned.poisoned[:1], noise=Noise(0, "test", learned.ids[:1]))
