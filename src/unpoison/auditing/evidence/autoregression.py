"""Autoregression: whether each class has a filter of its own to which its pictures hardly answer."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from unpoison.auditing.evidence.protocol import Evidence
from unpoison.auditing.probes import read_classes
from unpoison.auditing.views import View


def measure(view: View) -> Evidence:
    """The class named by which class's best linear prediction of a pixel from those before it fits a picture best."""
    errors = torch.zeros(len(view), view.classes)
    removed = view.removed(slice(None))
    tables = [
        _fit(removed[torch.from_numpy(np.intersect1d(np.flatnonzero(view.labels == label), view.fitted))])
        for label in range(view.classes)
    ]
    for channel in range(3):
        parts = _neighbours(removed[:, channel : channel + 1])
        wanted = removed[:, channel, 2:, 2:].flatten(1)
        for label, table in enumerate(tables):
            predicted = (parts * table[channel][None, :, None]).sum(dim=1)
            errors[:, label] += (wanted - predicted).pow(2).mean(dim=1)
    relative = (errors / errors.mean(dim=1, keepdim=True).clamp(min=1e-9)).clamp(min=1e-6).log()
    reading = read_classes(relative, view.labels, view.fitted)
    own = -relative[torch.arange(len(view)), torch.from_numpy(view.labels)].numpy()
    return Evidence({"advantage": reading.advantage, "own_0.9": float(np.quantile(own, 0.9))}, own.astype(np.float32))


def _neighbours(plane: Tensor) -> Tensor:
    """[N, 8, P]: the pixels of a 3x3 window before its last one."""
    return torch.nn.functional.unfold(plane, 3)[:, :8]


def _fit(removed: Tensor) -> Tensor:
    """[3, 8] coefficients of least squared error."""
    tables = []
    for channel in range(3):
        parts = _neighbours(removed[:, channel : channel + 1]).permute(0, 2, 1).reshape(-1, 8)
        wanted = removed[:, channel, 2:, 2:].reshape(-1)
        gram = parts.T @ parts + 1e-6 * torch.eye(8)
        tables.append(torch.linalg.solve(gram, parts.T @ wanted))
    return torch.stack(tables)
