"""History: what of JPEG, resizing, noise and few levels a set has been through, and whether all of it has."""

from __future__ import annotations

import numpy as np
import torch

from unpoison.auditing.evidence.protocol import Evidence
from unpoison.auditing.views import View


def measure(view: View) -> Evidence:
    """Blocks of JPEG, noise, fine structure and what is removed: their means, and how much of each the class says."""
    grey = view.images.astype(np.float32).mean(axis=3)
    steps = np.abs(np.diff(grey, axis=2))
    on_grid = steps[:, :, 7::8].mean(axis=(1, 2))
    off_grid = np.delete(steps, np.s_[7::8], axis=2).mean(axis=(1, 2))
    blocks = np.log((on_grid + 0.5) / (off_grid + 0.5))
    second = grey[:, 1:-1, 1:-1] * 4 - grey[:, :-2, 1:-1] - grey[:, 2:, 1:-1] - grey[:, 1:-1, :-2] - grey[:, 1:-1, 2:]
    noise = np.log(np.median(np.abs(second), axis=(1, 2)) + 0.5)
    power = torch.fft.rfft2(torch.from_numpy(grey)).abs().pow(2)
    rows = torch.fft.fftfreq(grey.shape[1]).abs()[:, None]
    radius = torch.maximum(rows, torch.fft.rfftfreq(grey.shape[2])[None])
    fine = torch.log((power[:, radius > 0.35].sum(1) + 1) / (power[:, radius > 0.1].sum(1) + 1)).numpy()
    removed = np.log((view.residuals.astype(np.float32) ** 2).mean(axis=(1, 2, 3)) + 0.5)
    facts = {"blocks": blocks, "noise": noise, "fine": fine, "removed": removed}
    values = {}
    for name, fact in facts.items():
        means = np.array([fact[view.labels == label].mean() for label in range(view.classes)])
        counts = np.bincount(view.labels, minlength=view.classes)
        between = float((counts * (means - fact.mean()) ** 2).sum() / max(((fact - fact.mean()) ** 2).sum(), 1e-9))
        values[f"{name}_by_class"] = between
        values[f"{name}_mean"] = float(fact.mean())
    return Evidence(values, removed.astype(np.float32))
