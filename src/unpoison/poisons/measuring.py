"""Facts of a poison for the manifest: kind, size after 8-bit storage, trigger and target."""

from __future__ import annotations

from typing import Any

import numpy as np

from unpoison.core.chunks import slices
from unpoison.poisons.protocol import PoisonedSet


def measure(poisoned: PoisonedSet, clean: np.ndarray) -> dict[str, Any]:
    """Facts about a poison.

    Args:
        poisoned: the poisoned pictures.
        clean: [N, H, W, 3] uint8, the same pictures before.
    """
    trigger, target = poisoned.trigger, poisoned.target
    return {
        "kind": poisoned.kind,
        "images": len(poisoned.ids),
        **achieved_norms(clean, poisoned.images),
        "target": target
        and {"index": target.index, "true_class": target.true_class, "intended_class": target.intended_class},
        **(
            {}
            if trigger is None
            else {
                "trigger": {
                    "target_class": trigger.target_class,
                    "mode": trigger.mode,
                    "top": trigger.top,
                    "left": trigger.left,
                }
            }
        ),
        **poisoned.facts,
    }


def achieved_norms(clean: np.ndarray, stored: np.ndarray) -> dict[str, float]:
    """Norms of the stored perturbation: largest change in levels, L2 in [0, 1] units, pixels changed.

    Args:
        clean: [N, H, W, 3] uint8.
        stored: the same, perturbed.
    """
    largest = 0
    l2, l0 = np.zeros(len(clean)), np.zeros(len(clean), np.int64)
    for rows in slices(len(clean), clean.shape[1:]):
        delta = stored[rows].astype(np.int16) - clean[rows]
        largest = max(largest, int(np.abs(delta).max()))
        l2[rows] = np.sqrt((delta.astype(np.float64) ** 2).sum(axis=(1, 2, 3))) / 255
        l0[rows] = (delta != 0).any(axis=3).sum(axis=(1, 2))
    return {
        "linf_255": largest,
        "l2_mean": float(l2.mean()),
        "l2_max": float(l2.max()),
        "l0_mean": float(l0.mean()),
        "l0_max": int(l0.max()),
    }
