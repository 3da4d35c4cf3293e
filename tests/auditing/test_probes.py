"""The probe of the audit: what it says of a picture was never fitted on it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unpoison.auditing import probes
from unpoison.auditing.probes import Reading, read_classes


@pytest.mark.parametrize("width", [6, 80], ids=["fewer features than pictures", "more"])
def test_scores_are_those_of_probes_fitted_without_the_picture(monkeypatch, width):
    generator = torch.Generator().manual_seed(0)
    features, labels = torch.randn(40, width, generator=generator), np.arange(40) % 3
    features[:, 0] += torch.from_numpy(labels)
    monkeypatch.setattr(probes, "_RIDGES", (0.3,))
    scores = read_classes(features, labels, np.arange(40)).scores
    targets = torch.eye(3)[torch.from_numpy(labels)]
    centred = features - features.mean(dim=0)
    scaled = centred / centred.pow(2).sum(dim=1).mean().sqrt()
    for row in (0, 7, 39):
        others = torch.arange(40) != row
        known, wanted = scaled[others], (targets - targets.mean(dim=0))[others]
        weights = torch.linalg.solve(known.T @ known + 0.3 * torch.eye(width), known.T @ wanted)
        expected = scaled[row] @ weights + targets.mean(dim=0)
        assert np.allclose(scores[row], expected, atol=1e-4)


def test_chance_is_no_advantage_and_certainty_is_one():
    labels = np.arange(300) % 3
    guessed = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    assert abs(Reading(guessed, labels).advantage) < 0.1
    assert Reading(np.eye(3, dtype=np.float32)[labels], labels).advantage == 1
    named = Reading(np.eye(3, dtype=np.float32)[labels] + guessed / 100, labels)
    assert named.margins.min() > 10
