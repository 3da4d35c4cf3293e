"""Ridge regression in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def fit_ridge(known: Tensor, targets: Tensor, ridges: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Ridge regression, with the ridge of a few that has the least error when each row is left out in turn.

    Args:
        known: [n, D] float32, centred.
        targets: [n, K] float32, centred.
        ridges: added to the squares of all directions.

    Returns:
        The weights [D, K], and what is foretold of each row when it is left out, [n, K].

    References:
        Allen, The relationship between variable selection and data augmentation and a method for prediction, 1974.
    """
    wide = known.shape[1] > known.shape[0]
    gram = known @ known.T if wide else known.T @ known
    best: tuple[float, Tensor, Tensor] | None = None
    for ridge in ridges:
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram + ridge * torch.eye(len(gram))))
        if wide:  # residuals left out: (inverse Y) / diagonal(inverse)
            solved = inverse @ targets
            left_out = targets - solved / inverse.diagonal()[:, None]
            weights = known.T @ solved
        else:
            weights = inverse @ (known.T @ targets)
            leverage = ((known @ inverse) * known).sum(dim=1, keepdim=True)
            left_out = targets - (targets - known @ weights) / (1 - leverage).clamp(min=1e-6)
        error = float((targets - left_out).pow(2).mean())
        if best is None or error < best[0]:
            best = error, weights, left_out
    assert best is not None
    return best[1], best[2]
