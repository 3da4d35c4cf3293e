"""The loop of every training: epochs of batches, an update from each, a test now and then."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR

from unpoison.classify.classifier import Classifier, predict
from unpoison.classify.optimisers import Lookahead, Parameters, build_optimiser, rate_factor
from unpoison.classify.settings import LoopSettings
from unpoison.core.errors import RunError
from unpoison.core.images import ImageSet
from unpoison.core.noise import generator
from unpoison.core.precision import autocast
from unpoison.core.progress import OnStep, StepInfo

OnEpoch = Callable[[int, Classifier], None]
# From a batch of the inputs, its labels and its epoch, counted from 1, to what is learnt from.
View = Callable[[Tensor, Tensor, int], Tensor]


@dataclass(frozen=True)
class EpochResult:
    """What one epoch came to.

    Args:
        epoch: counted from 1.
        train_loss: mean over the epoch's batches, as trained on (augmented, smoothed).
        test_accuracy: share of test images named correctly; None where not tested.
    """

    epoch: int
    train_loss: float
    test_accuracy: float | None


@dataclass(frozen=True)
class TrainedClassifier:
    """A trained net and how it came about.

    Args:
        net: in evaluation mode, on the device it was trained on.
        history: one entry per epoch.
        predictions: [N] int64, classes of the test set after the last epoch.
        settings: what it was trained with.
        seed: of weights, order and augmentation.
        seconds: wall time of the loop, tests included.
    """

    net: Classifier
    history: list[EpochResult]
    predictions: np.ndarray
    settings: LoopSettings
    seed: int
    seconds: float


@dataclass(frozen=True)
class Lesson:
    """What learns, and from what.

    Args:
        net: the classifier that is tested; changed in place.
        learner: maps a viewed batch to logits: the net itself, or the part of it that learns.
        parameters: those of the learner that learn, or groups of them with values of their own.
        inputs: [N, ...] what batches are cut from, on the device of the net.
        labels: [N] int64, on the same device.
        view: what the learner is shown of a batch, e.g. augmented pictures.
    """

    net: Classifier
    learner: nn.Module
    parameters: Parameters
    inputs: Tensor
    labels: Tensor
    view: View


def fit(
    lesson: Lesson,
    *,
    test_set: ImageSet,
    settings: LoopSettings,
    seed: int,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
) -> TrainedClassifier:
    """Train, from scratch or not.

    Args:
        lesson: what learns, and from what.
        test_set: labelled pictures.
        settings: all but the view of a batch, which is the lesson's.
        seed: of the order.
        on_epoch: called after each epoch with its number and the net.
        on_step: called after each step with its loss.

    Raises:
        RunError: the loss left the finite numbers.
    """
    started = time.perf_counter()
    test_pictures = test_set.array()
    count, device = len(lesson.inputs), lesson.inputs.device
    total = settings.epochs * len(_batches(torch.arange(count), settings.batch_size))
    optimiser = build_optimiser(lesson.parameters, settings)
    schedule = LambdaLR(optimiser, lambda step: rate_factor(settings, step, total))
    lookahead = Lookahead(lesson.learner, every=settings.lookahead) if settings.lookahead else None
    order = generator(seed, "classify.order")

    history, step = [], 0
    for epoch in range(1, settings.epochs + 1):
        losses = []
        for rows in _batches(torch.randperm(count, generator=order).to(device), settings.batch_size):
            labels = lesson.labels[rows]
            shown = lesson.view(lesson.inputs[rows], labels, epoch)
            loss = _update(lesson.learner, optimiser, shown, labels, settings)
            schedule.step()
            step += 1
            if lookahead:
                lookahead.step(step, total)
            losses.append(loss)
            if on_step:
                on_step(StepInfo(step, total, {"epoch": epoch, "loss": loss.item()}))
        train_loss = torch.stack(losses).mean().item()
        if not math.isfinite(train_loss):
            raise RunError(f"training diverged in epoch {epoch}; lower learning_rate={settings.learning_rate}")
        accuracy = None
        if epoch % settings.test_every == 0 or epoch == settings.epochs:
            predictions = predict(lesson.net, test_pictures)
            accuracy = float(np.mean(predictions == test_set.labels))
        history.append(EpochResult(epoch, train_loss, accuracy))
        if on_epoch:
            on_epoch(epoch, lesson.net)
    return TrainedClassifier(lesson.net.eval(), history, predictions, settings, seed, time.perf_counter() - started)


def on_device(image_set: ImageSet, device: torch.device) -> tuple[Tensor, Tensor]:
    """A whole set on the device, bytes as they are: a quarter of the memory of floats, and no loader is needed.

    Returns:
        The pictures [N, 3, H, W] uint8, and the labels [N] int64.
    """
    pictures = np.ascontiguousarray(image_set.array().transpose(0, 3, 1, 2))
    return torch.from_numpy(pictures).to(device), torch.from_numpy(image_set.labels).to(device)


@torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
def _update(
    learner: nn.Module, optimiser: torch.optim.Optimizer, shown: Tensor, labels: Tensor, settings: LoopSettings
) -> Tensor:
    """One update from what is shown of a batch; gives the loss."""
    with autocast(settings.precision, shown.device):
        logits = learner.train()(shown)
    loss = F.cross_entropy(logits.float(), labels, label_smoothing=settings.label_smoothing)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.detach()


def _batches(rows: Tensor, batch_size: int) -> list[Tensor]:
    """Cut an epoch into batches; a single image left over is left out, as batch normalisation needs two."""
    return [batch for batch in rows.split(batch_size) if len(batch) > 1]
