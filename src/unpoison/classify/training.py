"""Training a classifier from scratch."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR

from unpoison.classify.augment import crop_and_flip
from unpoison.classify.checks import check_sets
from unpoison.classify.classifier import Classifier, build_net, predict
from unpoison.classify.compensation import compensate
from unpoison.classify.normalisation import IDENTITY, channel_statistics
from unpoison.classify.settings import TrainSettings
from unpoison.core.device import choose_device
from unpoison.core.errors import RunError
from unpoison.core.images import ImageSet
from unpoison.core.noise import generator
from unpoison.core.progress import OnStep, StepInfo


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
        seconds: wall time, tests included.
    """

    net: Classifier
    history: list[EpochResult]
    predictions: np.ndarray
    settings: TrainSettings
    seed: int
    seconds: float


def train(
    train_set: ImageSet,
    *,
    test_set: ImageSet,
    model: str = "resnet18",
    settings: TrainSettings | None = None,
    seed: int = 0,
    device: str = "auto",
    on_step: OnStep | None = None,
) -> TrainedClassifier:
    """Train a classifier from scratch with SGD, and test it.

    The same seed gives the same weights, bit for bit, on the same kind of machine.

    Args:
        train_set: pictures of one size, every class present.
        test_set: pictures of the same size and classes.
        model: name of an architecture in `METHODS`.
        settings: those of the profile `fast` if left out.
        seed: of weights, order and augmentation, each with a stream of its own.
        device: `auto`, `cpu`, `cuda`, ...
        on_step: called after each step with its loss.

    Returns:
        The net with its history and its predictions on the test set.

    Raises:
        SettingsError: the sets cannot be trained or tested on, or there is no such architecture.
        RunError: the loss left the finite numbers.
    """
    settings = settings or TrainSettings()
    check_sets(train_set, test_set)
    started = time.perf_counter()
    place = choose_device(device)
    pictures, test_pictures = train_set.array(), test_set.array()
    net = _build(model, train_set, pictures, settings, seed).to(place)
    # Pictures stay in 8 bits on the device: a quarter of the memory, and no loader is needed.
    images = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).to(place)
    labels = torch.from_numpy(train_set.labels).to(place)
    order = generator(seed, "classify.order")
    randomness = torch.Generator(place).manual_seed(generator(seed, "classify.augment").initial_seed())
    optimiser = torch.optim.SGD(
        net.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
    )
    total = settings.epochs * len(_batches(torch.arange(len(images)), settings.batch_size))
    schedule = LambdaLR(optimiser, lambda step: schedule_factor(settings.schedule, step, total))

    history, step = [], 0
    for epoch in range(1, settings.epochs + 1):
        losses = []
        for rows in _batches(torch.randperm(len(images), generator=order).to(place), settings.batch_size):
            loss = _step(net, optimiser, images[rows], labels[rows], settings, randomness)
            schedule.step()
            losses.append(loss)
            step += 1
            if on_step:
                on_step(StepInfo(step, total, {"epoch": epoch, "loss": loss.item()}))
        train_loss = torch.stack(losses).mean().item()
        if not math.isfinite(train_loss):
            raise RunError(f"training diverged in epoch {epoch}; lower learning_rate={settings.learning_rate}")
        accuracy = None
        if epoch % settings.test_every == 0 or epoch == settings.epochs:
            predictions = predict(net, test_pictures)
            accuracy = float(np.mean(predictions == test_set.labels))
        history.append(EpochResult(epoch, train_loss, accuracy))
    return TrainedClassifier(net.eval(), history, predictions, settings, seed, time.perf_counter() - started)


def schedule_factor(schedule: str, step: int, total: int) -> float:
    """What the learning rate is multiplied by.

    Args:
        schedule: `constant`, or `one-cycle`: from 0.2 to 1 over the first fifth of the steps, then down to 0.
        step: steps done.
        total: steps of the whole training.
    """
    if schedule == "constant":
        return 1.0
    progress = step / total
    return 0.2 + 0.8 * progress / 0.2 if progress < 0.2 else (1 - progress) / 0.8


def _build(model: str, train_set: ImageSet, pictures: np.ndarray, settings: TrainSettings, seed: int) -> Classifier:
    names = train_set.class_names
    mean, std = channel_statistics(pictures) if settings.normalise else IDENTITY
    net = build_net(model, classes=len(names), width=settings.width, seed=seed)
    return Classifier(net, architecture=model, width=settings.width, class_names=names, mean=mean, std=std)


@torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
def _step(
    net: Classifier,
    optimiser: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    settings: TrainSettings,
    randomness: torch.Generator,
) -> Tensor:
    """One update from [N, 3, H, W] uint8; gives the loss."""
    batch = _augment(images, settings, randomness)
    with torch.autocast(batch.device.type, dtype=torch.bfloat16, enabled=settings.precision == "bf16"):
        logits = net.train()(batch)
    loss = F.cross_entropy(logits.float(), labels, label_smoothing=settings.label_smoothing)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.detach()


def _augment(images: Tensor, settings: TrainSettings, randomness: torch.Generator) -> Tensor:
    cropped = crop_and_flip(images, padding=settings.crop_padding, flip=settings.flip, generator=randomness)
    batch = cropped.float().div_(255)
    if not settings.grayscale_probability and not settings.noise_sigma:
        return batch
    return compensate(
        batch,
        grayscale_probability=settings.grayscale_probability,
        noise_sigma=settings.noise_sigma,
        generator=randomness,
    )


def _batches(rows: Tensor, batch_size: int) -> list[Tensor]:
    """Cut an epoch into batches; a single image left over is left out, as batch normalisation needs two."""
    return [batch for batch in rows.split(batch_size) if len(batch) > 1]
