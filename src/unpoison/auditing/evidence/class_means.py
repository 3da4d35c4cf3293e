"""Class means: one perturbation for a whole class stays when its residuals are averaged; natural ones cancel."""

from __future__ import annotations

import numpy as np

from unpoison.auditing.evidence.protocol import Evidence
from unpoison.auditing.views import View

_SPLITS = 5


def measure(view: View) -> Evidence:
    """How alike the mean residuals of two halves of a class are, and how far colours of classes lie apart."""
    generator = np.random.default_rng(0)
    flat = view.residuals.reshape(len(view), -1).astype(np.float32)
    flat -= flat.mean(axis=0)  # what all classes share, such as a frame, says nothing of them
    coherence = np.zeros(view.classes)
    for label in range(view.classes):
        rows = np.flatnonzero(view.labels == label)
        if len(rows) < 4:
            continue
        found = []
        for _ in range(_SPLITS):
            rows = generator.permutation(rows)
            first, second = (flat[part].mean(axis=0) for part in np.array_split(rows, 2))
            found.append(first @ second / max(np.linalg.norm(first) * np.linalg.norm(second), 1e-9))
        coherence[label] = np.mean(found)
    means = np.stack([flat[view.labels == label].mean(axis=0) for label in range(view.classes)])
    energy = (means**2).mean(axis=1) / max(float((flat**2).mean()), 1e-9)
    colours = view.images.reshape(len(view), -1, 3).mean(axis=1)
    between = np.stack([colours[view.labels == label].mean(axis=0) for label in range(view.classes)])
    within = np.mean([colours[view.labels == label].var(axis=0) for label in range(view.classes)], axis=0)
    values = {
        "coherence": float(coherence.mean()),
        "coherence_max": float(coherence.max()),
        "energy": float(energy.mean()),
        "energy_max": float(energy.max()),
        "colour": float((between.var(axis=0) / within).max()),
    }
    return Evidence(values, classes=coherence.astype(np.float32))
