"""Orthogonal projection takes out what a linear classifier reads, and nothing is left of LSP."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from unpoison import purify
from unpoison.auditing.probes import read_classes
from unpoison.core.errors import RunError, SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.core.noise import Noise, generator
from unpoison.core.pixels import to_float
from unpoison.poisons.attacks.lsp import LspPoison, LspSettings
from unpoison.poisons.protocol import Resources
from unpoison.purifiers import orthogonal_projection
from unpoison.purifiers.orthogonal_projection import OrthogonalProjectionPurifier
from unpoison.purifiers.settings import OrthogonalProjectionSettings

COUNT, CLASSES = 900, 4
CPU = torch.device("cpu")


def readable(image_set: ArrayImageSet) -> float:
    """Accuracy of a linear classifier of the pixels on pictures that it has not seen."""
    labels = image_set.labels
    fitted = np.random.default_rng(5).permutation(len(labels))[: 2 * len(labels) // 3]
    reading = read_classes(to_float(image_set.array()).flatten(1), labels, fitted)
    held_out = np.setdiff1d(np.arange(len(labels)), fitted)
    return float((reading.scores.argmax(axis=1) == labels)[held_out].mean())


@pytest.fixture(scope="module")
def poisoned() -> ArrayImageSet:
    """LSP on pictures that say nothing of their class, so that all that can be read is the poison."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(112, 144, (COUNT, 8, 8, 3), dtype=np.uint8)
    labels = rng.permutation(np.arange(COUNT) % CLASSES)
    clean = ArrayImageSet(coarse.repeat(2, axis=1).repeat(2, axis=2), labels)
    made = LspPoison().craft(clean, LspSettings(patch=4), generator=generator(0, "lsp"), resources=Resources())
    return ArrayImageSet(made.images, labels)


def test_nothing_is_left_to_read_of_lsp(poisoned):
    assert readable(poisoned) > 0.9
    assert readable(purify(poisoned, "orthogonal-projection", updates=300)) < 0.4, "chance is 0.25"


def test_directions_of_other_classes_leave_it(poisoned):
    other = ArrayImageSet(poisoned.images, np.roll(poisoned.labels, 1))
    purified = ArrayImageSet(purify(other, "orthogonal-projection", updates=300).array(), poisoned.labels)
    assert readable(purified) > 0.8


def test_results_are_at_right_angles_and_survive_json(poisoned):
    made = OrthogonalProjectionPurifier(OrthogonalProjectionSettings(updates=50), device=CPU)
    prepared = made.prepare(poisoned, generator=generator(0, "test"))
    restored = made.restore(json.loads(json.dumps(prepared.prepared)))
    images, noise = to_float(poisoned.array()[:8]) / 4 + 0.4, Noise(0, "test", [str(row) for row in range(8)])
    purified = restored.purify(images, noise=noise)
    assert torch.equal(purified, prepared.purify(images, noise=noise))
    directions = restored._directions
    assert torch.allclose(directions @ directions.T, torch.eye(CLASSES - 1), atol=1e-5)
    inside = ((purified > 0) & (purified < 1)).flatten(1).all(dim=1)
    assert inside.any()
    assert (purified.flatten(1) @ directions.T)[inside].abs().max() < 1e-3
    with pytest.raises(RunError, match="call prepare first"):
        made.purify(images, noise=noise)


def test_sets_that_it_cannot_do_are_refused(poisoned, monkeypatch):
    with pytest.raises(SettingsError, match="has pictures without a label"):
        purify(poisoned.array(), "orthogonal-projection")
    with pytest.raises(SettingsError, match="fewer than two"):
        purify(ArrayImageSet(poisoned.images, [0] * COUNT), "orthogonal-projection")
    monkeypatch.setattr(orthogonal_projection, "_VALUES", 1000)
    with pytest.raises(SettingsError, match="make the pictures smaller"):
        purify(poisoned, "orthogonal-projection")
