"""The loop of every training: epochs of batches, an update from each, a test now and then."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unpoison.classify.classifier import Classifier, predict
from unpoison.classify.defences.chain import build_defence
from unpoison.classify.defences.protocol import Defence
from unpoison.classify.lesson import Lesson, Redraw
from unpoison.classify.optimisers import Lookahead, Schedule, build_optimiser
from unpoison.classify.settings import LoopSettings
from unpoison.core.derived import Repainted
from unpoison.core.errors import RunError
from unpoison.core.images import ImageSet
from unpoison.core.noise import generator
from unpoison.core.precision import autocast
from unpoison.core.progress import OnStep, StepInfo

OnEpoch = Callable[[int, Classifier], None]


@dataclass(frozen=True)
class EpochResult:
    """What one epoch came to.

    Args:
        epoch: counted from 1.
        pictures: how many it learnt from; fewer than there are where a defence leaves some out.
        train_loss: mean over the epoch's batches, as trained on (augmented, smoothed).
        test_accuracy: share of test images named correctly; None where not tested.
    """

    epoch: int
    pictures: int
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
        seconds: wall time of the loop, tests included; not that of drawing pictures anew.
        purified: how its pictures were purified for each epoch, and with what seed; None if they were not.
    """

    net: Classifier
    history: list[EpochResult]
    predictions: np.ndarray
    settings: LoopSettings
    seed: int
    seconds: float
    purified: dict[str, Any] | None = None


@torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
def fit(
    lesson: Lesson,
    *,
    test_set: ImageSet,
    settings: LoopSettings,
    seed: int,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
) -> TrainedClassifier:
    """Train, from scratch or not, with the defences that the settings name.

    Args:
        lesson: what learns, and from what.
        test_set: labelled pictures.
        settings: all but the view of a batch, which is the lesson's.
        seed: of the order, and of the defences.
        on_epoch: called after each epoch with its number and the net.
        on_step: called after each step with its loss.

    Raises:
        RunError: the loss left the finite numbers.
    """
    started = time.perf_counter()
    test_pictures = test_set.array()
    count, device = len(lesson.inputs), lesson.inputs.device
    steps = len(_batches(torch.arange(count), settings.batch_size))  # of an epoch that leaves nothing out
    total = settings.epochs * steps
    defence = build_defence(settings, lesson, seed=seed)
    optimiser = build_optimiser(lesson.parameters, settings)
    schedule = Schedule(optimiser, settings, total)
    lookahead = Lookahead(lesson.learner, every=settings.lookahead) if settings.lookahead else None
    order = generator(seed, "classify.order")

    history = []
    redrawing_s = 0.0
    for epoch in range(1, settings.epochs + 1):
        if lesson.redraw and epoch > 1:
            begun = time.perf_counter()
            lesson.inputs = lesson.redraw(epoch, _telling_at((epoch - 1) * steps, total, on_step))
            redrawing_s += time.perf_counter() - begun
        chosen = defence.choose(torch.arange(count, device=device), epoch)
        # All are shuffled, so that the others keep their order where a defence leaves some out.
        shuffled = torch.randperm(count, generator=order).to(device)
        shuffled = shuffled[torch.isin(shuffled, chosen)]
        batches = _batches(shuffled, settings.batch_size)
        losses = []
        for number, rows in enumerate(batches, 1):
            labels = lesson.labels[rows]
            pictures = defence.prepare(lesson.inputs[rows], rows)
            shown, targets = defence.show(lesson.view(pictures, labels, epoch), labels, epoch)
            loss = _update(lesson, optimiser, shown, targets, settings, defence)
            # An epoch of fewer steps takes the schedule as far as any other.
            step = (epoch - 1) * steps + number * steps // len(batches)
            schedule.step(step)
            if lookahead:
                lookahead.step(step, total)
            losses.append(loss)
            if on_step:
                on_step(StepInfo(step, total, {"epoch": epoch, "loss": loss}))
        train_loss = torch.stack(losses).mean().item()
        if not math.isfinite(train_loss):
            raise RunError(f"training diverged in epoch {epoch}; lower learning_rate={settings.learning_rate}")
        accuracy = None
        if epoch % settings.test_every == 0 or epoch == settings.epochs:
            predictions = predict(lesson.net, test_pictures)
            accuracy = float(np.mean(predictions == test_set.labels))
        history.append(EpochResult(epoch, len(chosen), train_loss, accuracy))
        if on_epoch:
            on_epoch(epoch, lesson.net)
    seconds = time.perf_counter() - started - redrawing_s
    return TrainedClassifier(lesson.net.eval(), history, predictions, settings, seed, seconds)


def first_drawn(train_set: ImageSet, redraw: Redraw, settings: LoopSettings, on_step: OnStep | None) -> ImageSet:
    """The set as the first epoch learns it: what is measured over a set before a training is measured over this."""
    steps = settings.epochs * math.ceil(len(train_set) / settings.batch_size)
    pictures = redraw(1, _telling_at(0, steps, on_step))
    return Repainted(train_set, pictures.permute(0, 2, 3, 1).cpu().numpy(), name=train_set.name)


def _telling_at(step: int, total: int, on_step: OnStep | None) -> OnStep | None:
    """An `on_step` for what is done before a step of a training: it tells what, not how far."""
    return on_step and (lambda info: on_step(StepInfo(step, total, doing=info.doing)))


def on_device(image_set: ImageSet, device: torch.device) -> tuple[Tensor, Tensor]:
    """A whole set on the device, bytes as they are: a quarter of the memory of floats, and no loader is needed.

    Returns:
        The pictures [N, 3, H, W] uint8, and the labels [N] int64.
    """
    pictures = np.ascontiguousarray(image_set.array().transpose(0, 3, 1, 2))
    return torch.from_numpy(pictures).to(device), torch.from_numpy(image_set.labels).to(device)


def _update(
    lesson: Lesson,
    optimiser: torch.optim.Optimizer,
    shown: Tensor,
    targets: Tensor,
    settings: LoopSettings,
    defence: Defence,
) -> Tensor:
    """One update from what is shown of a batch; gives the loss."""
    with autocast(settings.precision, shown.device):
        logits = lesson.learner.train()(shown)
    loss = F.cross_entropy(logits.float(), targets, label_smoothing=settings.label_smoothing)
    optimiser.zero_grad()
    loss.backward()
    defence.shape_gradients()
    optimiser.step()
    return loss.detach()


def _batches(rows: Tensor, batch_size: int) -> list[Tensor]:
    """Cut an epoch into batches; a single image left over is left out, as batch normalisation needs two."""
    return [batch for batch in rows.split(batch_size) if len(batch) > 1]
