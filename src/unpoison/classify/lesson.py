"""A lesson: what a training moves, and what it is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from unpoison.classify.classifier import Classifier
from unpoison.classify.optimisers import Parameters
from unpoison.core.progress import OnStep

# From a batch of the inputs, its labels and its epoch, counted from 1, to what is learnt from.
View = Callable[[Tensor, Tensor, int], Tensor]


# From the number of an epoch, counted from 1, to the pictures that it learns from: [N, 3, H, W] uint8, row by row as in
# the set; the second takes steps, whose `doing` says what is being done.
Redraw = Callable[[int, OnStep | None], Tensor]


@dataclass
class Lesson:
    """What learns, and from what.

    Args:
        net: the classifier that is tested; changed in place.
        learner: maps a viewed batch to logits: the net itself, or the part of it that learns.
        parameters: those of the learner that learn, or groups of them with values of their own.
        inputs: [N, ...] what batches are cut from, on the device of the net; with `redraw`, those of the epoch.
        labels: [N] int64, on the same device.
        view: what the learner is shown of a batch, e.g. augmented pictures.
        redraw: gives the inputs of every later epoch; None if they stay.
    """

    net: Classifier
    learner: nn.Module
    parameters: Parameters
    inputs: Tensor
    labels: Tensor
    view: View
    redraw: Redraw | None = None
