"""Two probes that tell whether poisoned - clean, or purified - clean, says the class; no training run.

A poison that a probe reads is a shortcut for a network too; after a good defence the probes are at chance, one in the
number of classes. The reverse does not hold: a probe at chance proves nothing about poisons it cannot read.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unpoison.core.errors import SettingsError
from unpoison.core.pixels import to_float
from unpoison.core.records import Metric
from unpoison.poisons.attacks.ar_coefficients import ar_filters
from unpoison.scoring.intervals import share

_RIDGE = 1e-2  # of the mean squared length of a perturbation
_BATCH = 500


def linear_separability(clean: np.ndarray, poisoned: np.ndarray, labels: np.ndarray, *, limit: int = 5000) -> Metric:
    """Share of perturbations whose class a linear classifier names that was fitted on other perturbations.

    Pictures are taken evenly from every class, and every second one is fitted, the others scored. The classifier is
    the closed form of ridge regression onto the classes, so that the figure needs neither seed nor schedule. Class-wise
    noise, LSP and OPS reach 1; noise drawn for each picture stays at chance.

    Args:
        clean: [N, H, W, C] uint8.
        poisoned: the same pictures, perturbed.
        labels: [N] class indices, the same for both; pictures below 0 are left out.
        limit: most pictures used, scored and fitted together; the memory is theirs as float32, and time grows with
            its square.

    Returns:
        The share; n is the number of pictures scored, about half of those used.

    Raises:
        SettingsError: the arrays do not match, or there are fewer than two labelled pictures.

    References:
        Yu et al., Availability attacks create shortcuts (section 3), KDD 2022, https://arxiv.org/abs/2111.00898
    """
    _check(clean, poisoned, labels)
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] >= 0]
    chosen = order[np.linspace(0, len(order) - 1, min(len(order), limit)).astype(np.int64)]
    fitted, scored = chosen[::2], chosen[1::2]
    delta = _perturbations(clean[chosen], poisoned[chosen]).flatten(1)
    known, unknown = delta[::2] - delta[::2].mean(dim=0), delta[1::2] - delta[::2].mean(dim=0)
    classes, targets = np.unique(labels[fitted], return_inverse=True)
    gram = known @ known.T
    gram.diagonal().add_(_RIDGE * gram.diagonal().mean().clamp(min=torch.finfo(gram.dtype).tiny))
    wanted = F.one_hot(torch.from_numpy(targets)).float()
    weights = torch.linalg.solve(gram, wanted - wanted.mean(dim=0))
    named = classes[((unknown @ known.T) @ weights + wanted.mean(dim=0)).argmax(dim=1).numpy()]
    return share(int((named == labels[scored]).sum()), len(scored))


def perfect_ar_accuracy(clean: np.ndarray, poisoned: np.ndarray, labels: np.ndarray, tables: np.ndarray) -> Metric:
    """Share of perturbations whose class the filters of an AR poison name. Nothing is fitted.

    Every class has a filter, its coefficients with -1 at [2, 2], to which its own noise gives zero. The filter with
    the smallest mean absolute response names the class. As in the paper it looks at the perturbation alone: within a
    picture the response to what is shown drowns the noise. Every picture is scored.

    Args:
        clean: [N, H, W, 3] uint8.
        poisoned: the same pictures, perturbed by AR, purified or not.
        labels: [N] class indices, none below 0.
        tables: [K, 3, 3, 3] coefficients, e.g. from the facts of the poison's manifest.

    Returns:
        The share; n is the number of pictures. Chance is about 1 / K.

    Raises:
        SettingsError: the arrays do not match.

    References:
        Sandoval-Segura et al., Autoregressive perturbations for data poisoning (section 3), NeurIPS 2022,
        https://arxiv.org/abs/2206.03693
    """
    _check(clean, poisoned, labels)
    filters = ar_filters(torch.as_tensor(np.asarray(tables), dtype=torch.float32))
    if filters.shape[1:] != (3, 3, 3) or labels.min(initial=0) < 0 or labels.max(initial=0) >= len(filters):
        raise SettingsError(f"tables of shape {list(filters.shape)} do not serve labels up to {labels.max(initial=0)}")
    named = []
    for start in range(0, len(clean), _BATCH):
        delta = _perturbations(clean[start : start + _BATCH], poisoned[start : start + _BATCH])
        named.append(F.conv2d(delta, filters).abs().mean(dim=(2, 3)).argmin(dim=1).numpy())
    return share(int((np.concatenate(named) == labels).sum()) if named else 0, len(labels))


def _perturbations(clean: np.ndarray, poisoned: np.ndarray) -> Tensor:
    """[n, C, H, W] in [0, 1] units."""
    return to_float(poisoned) - to_float(clean)


def _check(clean: np.ndarray, poisoned: np.ndarray, labels: np.ndarray) -> None:
    if clean.shape != poisoned.shape or clean.ndim != 4 or labels.shape != clean.shape[:1]:
        raise SettingsError(
            f"clean pictures {list(clean.shape)}, poisoned ones {list(poisoned.shape)} and labels "
            f"{list(labels.shape)} must belong together, row by row"
        )
    if clean.dtype != np.uint8 or poisoned.dtype != np.uint8:
        raise SettingsError(f"pictures must be uint8, got {clean.dtype} and {poisoned.dtype}")
    if (labels >= 0).sum() < 2:
        raise SettingsError("a probe needs at least two labelled pictures")
