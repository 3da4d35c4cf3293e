"""The exponential moving average of weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def decay_at(step: int, *, decay: float, warmup: bool) -> float:
    """How much of the average is kept at a step.

    Args:
        step: updates done before, from 0.
        decay: the value it settles at.
        warmup: start with a short memory, min(decay, (1 + step) / (10 + step)), so that the random start is forgotten.
    """
    return min(decay, (1 + step) / (10 + step)) if warmup else decay


class WeightAverage:
    """A moving average of a network's weights, starting at the weights it is given.

    Args:
        net: the network in training.
        decay: share of the average kept at each update.
        warmup: see `decay_at`.
    """

    def __init__(self, net: nn.Module, *, decay: float, warmup: bool):
        self.decay, self.warmup = decay, warmup
        self.weights: dict[str, Tensor] = {name: value.detach().clone() for name, value in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        """Take the weights in after a step, counted from 0."""
        share = 1 - decay_at(step, decay=self.decay, warmup=self.warmup)
        for name, value in net.state_dict().items():
            self.weights[name].lerp_(value, share)
