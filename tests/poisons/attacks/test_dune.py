"""DUNE: one tint for a class, aimed at another class, and a perturbation of pixels beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from unpoison.classify.classifier import Classifier
from unpoison.core.errors import SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.core.noise import generator
from unpoison.core.pixels import to_float
from unpoison.poisons.attacks.dune import DuneSettings, colour_shifts, search
from unpoison.poisons.crafting import poison
from unpoison.poisons.engine.pgd import cross_entropy
from unpoison.poisons.protocol import Resources

NAMES = ["red", "green", "blue"]
FIELDS = {"label_shift": 1, "steps": 4, "step_size": "2/255", "precision": "fp32"}


@pytest.fixture
def surrogate() -> Classifier:
    """Takes a picture for the class of its strongest colour."""
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3, bias=False))
    with torch.no_grad():
        net[2].weight.copy_(20 * torch.eye(3))
    known = Classifier(net, architecture="strongest", width=4, class_names=NAMES, mean=[0.0] * 3, std=[1.0] * 3)
    return known.eval().requires_grad_(False)


@pytest.fixture
def clean() -> ArrayImageSet:
    """Noisy grey pictures, of which no value is so near to black or white that a change is cut."""
    labels = np.arange(30) % 3
    images = np.random.default_rng(0).integers(60, 196, (30, 8, 8, 3)).astype(np.uint8)
    return ArrayImageSet(images, labels, class_names=NAMES)


def test_the_swarm_finds_a_valley_and_stays_within_the_bound():
    valley = torch.tensor([0.05, -0.02, 0.3])
    fields = {"bound": 0.1, "particles": 40, "iterations": 60}
    seen = []

    def loss(place):
        seen.append(place.clone())
        return float((place - valley).square().sum())

    found = search(loss, generator=generator(0, "swarm"), **fields)
    torch.testing.assert_close(found, torch.tensor([0.05, -0.02, 0.1]), atol=0.02, rtol=0)
    assert torch.stack(seen).abs().max() <= 0.1
    assert loss(found) == min(loss(place) for place in list(seen))
    assert torch.equal(found, search(loss, generator=generator(0, "swarm"), **fields))


def test_a_tint_is_aimed_at_the_shifted_class(surrogate, clean):
    settings = DuneSettings(**{**FIELDS, "particles": 30})
    shifts = colour_shifts(clean, [surrogate], settings, generator=generator(0, "colour"))
    images = to_float(clean.array())
    for label in range(3):
        target = (label + 1) % 3
        assert shifts[label].argmax() == target
        assert np.abs(shifts[label]).max() <= 25
        shown = images[clean.labels == label]
        seen = cross_entropy([surrogate], torch.full((len(shown),), target))
        tint = torch.from_numpy(shifts[label]).view(1, 3, 1, 1) / 255
        assert (seen(shown + tint) < seen(shown) / 2).all()


def test_both_branches_keep_their_bounds_and_the_manifest_says_so(surrogate, clean):
    result = poison(clean, "dune", **FIELDS, resources=Resources(surrogates=[surrogate], device="cpu"))
    facts = result.step.facts
    delta = result.image_set.array().astype(int) - clean.array()
    tints = np.array([facts["colour"]["shifts_255"][name] for name in NAMES])
    assert len(np.unique(tints, axis=0)) == 3
    pixels = delta - tints[clean.labels][:, None, None]
    assert np.abs(pixels).max() == facts["pixels"]["linf_255"] == 8
    assert np.abs(tints).max() == facts["colour"]["linf_255"] <= 25
    assert facts["linf_255"] == np.abs(delta).max() > 8
    assert (facts["pixels"]["bound"], facts["colour"]["bound"]) == ("8/255", "0.1")


def test_a_shift_of_labels_that_leads_nowhere_is_refused(surrogate, clean):
    with pytest.raises(SettingsError, match="label_shift=3 leads each of 3 back to itself"):
        poison(clean, "dune", resources=Resources(surrogates=[surrogate], device="cpu"))
