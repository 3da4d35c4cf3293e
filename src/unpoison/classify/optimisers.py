"""Optimisers: what moves the weights, how fast, and Lookahead on top of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from unpoison.classify.settings import LoopSettings

Parameters = Iterable[nn.Parameter] | Iterable[dict[str, Any]]


def build_optimiser(parameters: Parameters, settings: LoopSettings) -> torch.optim.Optimizer:
    """The optimiser that the settings describe.

    Args:
        parameters: what it moves; or groups, which may have values of their own.
        settings: optimiser, learning rate, momentum and weight decay.
    """
    if settings.optimiser == "adam":
        return torch.optim.Adam(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    return torch.optim.SGD(
        parameters,
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
    )


class Schedule:
    """Moves the learning rate of an optimiser as the settings say.

    Args:
        optimiser: begins at the rate of step 0.
        settings: shape and decays.
        total: steps of the training.
    """

    def __init__(self, optimiser: torch.optim.Optimizer, settings: LoopSettings, total: int):
        self._settings, self._total = settings, total
        self._groups = [(group, group["lr"]) for group in optimiser.param_groups]
        self.step(0)

    def step(self, done: int) -> None:
        """Set the rate that holds after `done` steps."""
        for group, rate in self._groups:
            group["lr"] = rate * rate_factor(self._settings, done, self._total)


def rate_factor(settings: LoopSettings, step: int, total: int) -> float:
    """What the learning rate is multiplied by after `step` of `total` steps."""
    decays = sum(step * settings.epochs // total >= epoch for epoch in settings.decay_epochs)
    return _shape(settings.schedule, step / total) * 0.1**decays


def _shape(schedule: str, progress: float) -> float:
    """What a schedule alone multiplies the learning rate by, at a progress in [0, 1]."""
    match schedule:
        case "one-cycle":
            return 0.2 + 0.8 * progress / 0.2 if progress < 0.2 else (1 - progress) / 0.8
        case "triangle":
            peak = 0.23
            return 0.2 + 0.8 * progress / peak if progress < peak else 1 - 0.93 * (progress - peak) / (1 - peak)
        case "cosine":
            return (1 + math.cos(math.pi * progress)) / 2
        case _:
            return 1.0


class Lookahead:
    """Slow weights that follow the fast ones of a net, and to which those return; running statistics included.

    Args:
        net: its weights of now are the first slow ones.
        every: steps between two updates.

    References:
        Zhang et al., Lookahead optimizer: k steps forward, 1 step back, NeurIPS 2019,
        https://arxiv.org/abs/1907.08610
    """

    def __init__(self, net: nn.Module, *, every: int):
        self._net, self._every = net, every
        self._slow = {name: value.clone() for name, value in _floats(net).items()}

    def step(self, done: int, total: int) -> None:
        """Update after `done` of `total` steps, if it is time.

        As airbench: the share that stays grows with the third power of the progress, and the last step ends on the slow
        weights.
        """
        if done == total:
            self.update(keep=1.0)
        elif done % self._every == 0:
            self.update(keep=0.95**self._every * (done / total) ** 3)

    @torch.no_grad()
    def update(self, *, keep: float) -> None:
        """Move the slow weights towards those of the net, and the net to where they are then.

        Args:
            keep: share of the slow weights that stays, in [0, 1]; 1 puts the net back on the slow weights.
        """
        for name, fast in _floats(self._net).items():
            fast.copy_(self._slow[name].lerp_(fast, 1 - keep))


def _floats(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value for name, value in net.state_dict().items() if value.is_floating_point()}
