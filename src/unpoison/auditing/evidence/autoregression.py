"""Autoregression: whether each class has a filter of its own to which its pictures hardly answer."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unpoison.auditing.evidence.protocol import Evidence
from unpoison.auditing.probes import read_classes
from unpoison.auditing.views import View

_WINDOW = 9  # pixels of a 3x3 window: the last is predicted from the eight before it
_CALL = 256


def measure(view: View) -> Evidence:
    """The class named by which class's best linear prediction of a pixel from those before it fits a picture best."""
    moments = torch.cat([_moments(view.removed(slice(at, at + _CALL))) for at in range(0, len(view), _CALL)])
    filters = torch.zeros(view.classes, 3, _WINDOW)
    for label in range(view.classes):
        rows = np.intersect1d(np.flatnonzero(view.labels == label), view.fitted)
        if len(rows):
            filters[label] = _best_filters(moments[torch.from_numpy(rows)].sum(dim=0))
    errors = torch.einsum("kci,ncij,kcj->nk", filters, moments, filters)
    relative = (errors / errors.mean(dim=1, keepdim=True).clamp(min=1e-9)).clamp(min=1e-6).log()
    reading = read_classes(relative, view.labels, view.fitted)
    own = -relative[torch.arange(len(view)), torch.from_numpy(view.labels)].numpy()
    return Evidence({"advantage": reading.advantage, "own_0.9": float(np.quantile(own, 0.9))}, own.astype(np.float32))


def _moments(removed: Tensor) -> Tensor:
    """[n, 3, 9, 9]: mean products of the pixels of a window."""
    windows = F.unfold(removed, 3).reshape(len(removed), 3, _WINDOW, -1)
    return windows @ windows.transpose(2, 3) / windows.shape[3]


def _best_filters(moments: Tensor) -> Tensor:
    """[3, 9]: the coefficients of least squared error, and -1 for what they predict."""
    faint = 1e-6 * moments.diagonal(dim1=1, dim2=2).mean().clamp(min=1e-9) * torch.eye(_WINDOW - 1)
    best = torch.linalg.solve(moments[:, :-1, :-1] + faint, moments[:, :-1, -1])
    return torch.cat([best, -torch.ones(3, 1)], dim=1)
