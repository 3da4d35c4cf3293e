"""Noise of classes against the loop of EM's authors, written out image by image."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from unpoison.classify.classifier import Classifier, build_net
from unpoison.core.images import ArrayImageSet
from unpoison.core.noise import generator
from unpoison.core.pixels import to_float
from unpoison.poisons.attacks import rem
from unpoison.poisons.attacks.em import EmSettings
from unpoison.poisons.crafting import poison
from unpoison.poisons.engine import bilevel
from unpoison.poisons.engine.bilevel import ErrorMinimiser, Learner, LearnerSettings
from unpoison.poisons.mixture import attack_settings
from unpoison.poisons.protocol import Resources

LEVEL = 1 / 255


@pytest.fixture
def extremes() -> ArrayImageSet:
    """Three classes of pictures that touch black and white, where noise finds no room."""
    images = np.random.default_rng(0).integers(-40, 296, (24, 8, 8, 3)).clip(0, 255).astype(np.uint8)
    return ArrayImageSet(images, np.arange(24) % 3, class_names="abc")


@pytest.fixture
def net() -> Classifier:
    made = build_net("resnet18", classes=3, width=4, seed=0)
    names = ("a", "b", "c")
    return (
        Classifier(made, architecture="resnet18", width=4, class_names=names, mean=[0.5] * 3, std=[0.2] * 3)
        .eval()
        .requires_grad_(False)
    )


def slow_class_noise(net, images, labels, noise, batches, *, epsilon, step_size, steps):
    """Section 3 of the paper for one noise a class: each image moves it by itself, the batch takes the mean."""
    noise = {label: noise[label].clone() for label in range(len(noise))}
    for batch in batches:
        found = {label: [] for label in noise}
        for row in batch.tolist():
            label, clean = int(labels[row]), images[row]
            seen = (clean + noise[label]).clamp(0, 1)
            for _ in range(steps):
                seen = seen.detach().requires_grad_()
                F.cross_entropy(net(seen[None]), labels[row : row + 1]).backward()
                eta = (seen.detach() - step_size * seen.grad.sign() - clean).clamp(-epsilon, epsilon)
                seen = (clean + eta).clamp(0, 1)
            found[label].append(eta)
        for label, etas in found.items():
            if etas:
                noise[label] = (sum(etas) / len(etas)).clamp(-epsilon, epsilon)
    return torch.stack(list(noise.values()))


@pytest.mark.parametrize("steps", [1, 3])
def test_the_noise_of_classes_goes_on_from_batch_to_batch(steps, extremes, net):
    settings = EmSettings(per="class", steps=steps, epsilon="4/255", step_size="0.8/255", precision="fp32")
    minimiser = ErrorMinimiser(extremes, settings, generator(0, "test"), Resources(device="cpu"), per_class=True)
    images, labels = to_float(extremes.images), torch.from_numpy(extremes.labels)
    start = 2 * LEVEL * torch.randn(3, 3, 8, 8, generator=generator(1, "test"))
    # The third batch has no picture of the last class.
    batches = [torch.arange(12), torch.arange(12, 24), torch.tensor([0, 1, 3, 4, 6])]
    found = minimiser.move_classes(net, images, labels, start, batches)
    wanted = slow_class_noise(
        net, images, labels, start, batches, epsilon=4 * LEVEL, step_size=0.8 * LEVEL, steps=steps
    )
    # A sign may turn where a slope is next to nothing; hardly one in a thousand does.
    assert ((found - wanted).abs() > 1e-6).float().mean() < 2e-3
    assert found.abs().max() <= 4 * LEVEL + 1e-6


def test_ten_batches_move_it_ten_times(extremes, net):
    """Averaged once over all batches it would move by one step at most."""
    settings = EmSettings(per="class", steps=1, step_size="0.8/255", precision="fp32")
    minimiser = ErrorMinimiser(extremes, settings, generator(0, "test"), Resources(device="cpu"), per_class=True)
    images, labels = to_float(extremes.images), torch.from_numpy(extremes.labels)
    found = minimiser.move_classes(net, images, labels, torch.zeros(3, 3, 8, 8), [torch.arange(24)] * 10)
    assert found.abs().mean() > 2 * 0.8 * LEVEL


def test_only_surrogates_of_error_minimising_noise_are_clipped(net, make_set, monkeypatch):
    """EM's authors clip their surrogate's gradients to a length of 5; REM's do not."""
    images, labels = torch.rand(8, 3, 8, 8, generator=generator(0, "test")), torch.arange(8) % 3
    moved = {}
    for longest in (0.5, float("inf")):
        learner = Learner(copy.deepcopy(net), LearnerSettings(learning_rate=1e-3, precision="fp32"), longest)
        before = [parameter.clone() for parameter in learner.net.parameters()]
        learner.learn(images, labels)
        # A first step of SGD is the rate times the gradient and the decay of the weights.
        gradients = [(was - now) / 1e-3 - 5e-4 * was for was, now in zip(before, learner.net.parameters(), strict=True)]
        moved[longest] = sum(gradient.square().sum() for gradient in gradients).sqrt().item()
    assert moved[0.5] == pytest.approx(0.5, rel=1e-2)
    assert moved[float("inf")] > 1

    asked = {}
    for room, attack in ((bilevel, "em"), (rem, "rem")):
        made = room.new_learner
        monkeypatch.setattr(
            room,
            "new_learner",
            lambda *args, made=made, attack=attack, **more: asked.setdefault(attack, made(*args, **more)),
        )
        fields = {"width": 4, "steps": 1, "training_steps": 1, "training_batch": 9, "precision": "fp32"}
        only = {"rounds": 1} if attack == "em" else {"transforms": 1, "adversary_steps": 1}
        poison(make_set(9), attack, settings=attack_settings(attack, overrides={**fields, **only}))
    assert {attack: learner.longest for attack, learner in asked.items()} == {"em": 5.0, "rem": float("inf")}


def test_the_error_is_that_of_the_noise_that_is_stored(make_set, monkeypatch):
    """What is recorded, and what ends the rounds, is measured with the noise of classes, not with an image's own."""
    learners = []
    made = bilevel.new_learner
    monkeypatch.setattr(
        bilevel, "new_learner", lambda *args, **more: learners.append(made(*args, **more)) or learners[0]
    )
    clean = make_set(30)
    fields = {"width": 4, "rounds": 1, "training_steps": 6, "precision": "fp32", "steps": 1, "training_batch": 10}
    settings = attack_settings("em", profiles=["class-wise"], overrides=fields)
    result = poison(clean, "em", settings=settings, resources=Resources(device="cpu"))
    logits = learners[0].net(to_float(result.image_set.array()))
    stored = (logits.argmax(dim=1).numpy() != clean.labels).mean()
    assert result.step.facts["surrogate_error"] == pytest.approx(stored, abs=2 / 30)  # but for rounding to levels
    assert result.step.facts["l2_mean"] * 255 / np.sqrt(16 * 16 * 3) > 3  # levels; one step a round would give 0.8
