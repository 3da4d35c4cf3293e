"""Training a classifier from scratch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR

from unpoison.classify.augment import compensate, crop_and_flip
from unpoison.classify.checks import check_sets
from unpoison.classify.classifier import IDENTITY, Classifier, build_net, channel_statistics, predict
from unpoison.classify.settings import ScratchSettings, TrainSettings, default_profile, scratch_settings
from unpoison.core.device import choose_device
from unpoison.core.errors import RunError
from unpoison.core.images import ImageSet
from unpoison.core.noise import generator
from unpoison.core.precision import autocast, resolve
from unpoison.core.progress import OnStep, StepInfo, shows_bar
from unpoison.data import read

# From a net, a batch [N, 3, H, W] float32 in [0, 1] and its labels [N] to the batch that the net learns from.
Perturb = Callable[[Classifier, Tensor, Tensor], Tensor]
OnEpoch = Callable[[int, Classifier], None]
# From a batch of stored inputs and its labels to what is learnt from.
View = Callable[[Tensor, Tensor], Tensor]


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


@shows_bar("train", unit="step")
def train(
    train_set: Any,
    *,
    test_set: Any,
    model: str = "resnet18",
    settings: TrainSettings | None = None,
    seed: int = 0,
    device: str = "auto",
    perturb: Perturb | None = None,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
) -> TrainedClassifier:
    """Train a classifier from scratch, and test it.

    The same seed gives the same weights, bit for bit, on the same kind of machine.

    Args:
        train_set: pictures of one size, every class present; a set, or what `read` reads.
        test_set: pictures of the same size and classes; alike.
        model: name of an architecture in `METHODS`.
        settings: those of the profile `fast` if left out, `airbench` for its net; `ScratchSettings` train as other
            papers do.
        seed: of weights, order and augmentation, each with a stream of its own.
        device: `auto`, `cpu`, `cuda`, ...
        perturb: changes each augmented batch just before the net learns from it, as adversarial training does.
        on_epoch: called after each epoch with its number and the net, which it must not change.
        on_step: called after each step with its loss.

    Returns:
        The net with its history and its predictions on the test set.

    Raises:
        SettingsError: the sets cannot be trained or tested on, or there is no such architecture.
        RunError: the loss left the finite numbers.
    """
    place = choose_device(device)
    train_set, test_set = read(train_set), read(test_set)
    settings = resolve(settings or scratch_settings(profiles=[default_profile(model)]), place)
    if isinstance(settings, ScratchSettings):
        # Here, because it is built from the pieces of this module.
        from unpoison.classify.scratch import train_from_scratch

        return train_from_scratch(
            train_set,
            test_set=test_set,
            model=model,
            settings=settings,
            seed=seed,
            device=device,
            perturb=perturb,
            on_epoch=on_epoch,
            on_step=on_step,
        )
    test_set = check_sets(train_set, test_set)
    started = time.perf_counter()
    net = new_classifier(model, train_set, settings=settings, seed=seed).to(place)
    randomness = augmentation_source(seed, place)

    def view(batch: Tensor, labels: Tensor) -> Tensor:
        augmented = augment(batch, settings, randomness)
        return perturb(net, augmented, labels) if perturb else augmented

    trained = fit(
        net,
        on_device(train_set, place),
        torch.from_numpy(train_set.labels).to(place),
        test_set=test_set,
        learner=net,
        optimiser=sgd(net.parameters(), settings),
        factor=lambda step, total: schedule_factor(settings.schedule, step, total),
        view=view,
        settings=settings,
        seed=seed,
        on_epoch=on_epoch,
        on_step=on_step,
    )
    return replace(trained, seconds=time.perf_counter() - started)


def fit(
    net: Classifier,
    inputs: Tensor,
    labels: Tensor,
    *,
    test_set: ImageSet,
    learner: nn.Module,
    optimiser: torch.optim.Optimizer,
    factor: Callable[[int, int], float],
    view: View,
    settings: TrainSettings,
    seed: int,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
) -> TrainedClassifier:
    """The epochs of a training, from scratch or not.

    Args:
        net: the classifier that is tested; changed in place.
        inputs: [N, ...] what batches are cut from, on the device of the net.
        labels: [N] int64, on the same device.
        test_set: labelled pictures.
        learner: maps a viewed batch to logits: the net itself, or the part of it that learns.
        optimiser: of the learner.
        factor: what the learning rate is multiplied by, from steps done and steps in all.
        view: what the learner is shown of a batch, e.g. augmented pictures.
        settings: epochs, batch size, smoothing and precision.
        seed: of the order.
        on_epoch: called after each epoch with its number and the net.
        on_step: called after each step with its loss.

    Raises:
        RunError: the loss left the finite numbers.
    """
    started = time.perf_counter()
    test_pictures = test_set.array()
    order = generator(seed, "classify.order")
    total = settings.epochs * len(_batches(torch.arange(len(inputs)), settings.batch_size))
    schedule = LambdaLR(optimiser, lambda step: factor(step, total))

    history, step = [], 0
    for epoch in range(1, settings.epochs + 1):
        losses = []
        for rows in _batches(torch.randperm(len(inputs), generator=order).to(inputs.device), settings.batch_size):
            batch = view(inputs[rows], labels[rows])
            loss = _step(learner, optimiser, batch, labels[rows], settings)
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
        if on_epoch:
            on_epoch(epoch, net)
    return TrainedClassifier(net.eval(), history, predictions, settings, seed, time.perf_counter() - started)


def on_device(image_set: ImageSet, device: torch.device) -> Tensor:
    """The pictures [N, 3, H, W] uint8 on the device: a quarter of the memory of floats, and no loader is needed."""
    return torch.from_numpy(np.ascontiguousarray(image_set.array().transpose(0, 3, 1, 2))).to(device)


def augmentation_source(seed: int, device: torch.device) -> torch.Generator:
    """The stream that augmentation draws from, on the device."""
    return torch.Generator(device).manual_seed(generator(seed, "classify.augment").initial_seed())


def sgd(parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]], settings: TrainSettings) -> torch.optim.SGD:
    """The optimiser that the settings describe, of parameters or of groups of them with values of their own."""
    return torch.optim.SGD(
        parameters,
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
    )


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


def new_classifier(model: str, train_set: ImageSet, *, settings: TrainSettings, seed: int) -> Classifier:
    """An untrained classifier of a set's classes, on the CPU, its weights given by the seed.

    Args:
        model: name of an architecture.
        train_set: gives the classes and, with `normalise`, the channel statistics.
        settings: width and normalisation.
        seed: of the weights.
    """
    names = train_set.class_names
    mean, std = channel_statistics(train_set.array()) if settings.normalise else IDENTITY
    net = build_net(model, classes=len(names), width=settings.width, seed=seed)
    return Classifier(net, architecture=model, width=settings.width, class_names=names, mean=mean, std=std)


def augment(images: Tensor, settings: TrainSettings, randomness: torch.Generator) -> Tensor:
    """Crop, mirror and, where the settings say so, corrupt [N, 3, H, W] uint8; gives float32 in [0, 1]."""
    cropped = crop_and_flip(images, padding=settings.crop_padding, flip=settings.flip, generator=randomness)
    return corrupt(cropped, settings, randomness)


def corrupt(images: Tensor, settings: TrainSettings, randomness: torch.Generator) -> Tensor:
    """Stored pictures [N, 3, H, W] uint8 as float32 in [0, 1]; compensated as in ECLIPSE where the settings say so."""
    batch = images.float().div_(255)
    if not settings.grayscale_probability and not settings.noise_sigma:
        return batch
    return compensate(
        batch,
        grayscale_probability=settings.grayscale_probability,
        noise_sigma=settings.noise_sigma,
        generator=randomness,
    )


@torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
def _step(
    learner: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: Tensor,
    labels: Tensor,
    settings: TrainSettings,
) -> Tensor:
    """One update from a batch as the learner takes it; gives the loss."""
    with autocast(settings.precision, batch.device):
        logits = learner.train()(batch)
    loss = F.cross_entropy(logits.float(), labels, label_smoothing=settings.label_smoothing)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.detach()


def _batches(rows: Tensor, batch_size: int) -> list[Tensor]:
    """Cut an epoch into batches; a single image left over is left out, as batch normalisation needs two."""
    return [batch for batch in rows.split(batch_size) if len(batch) > 1]
