"""Training from scratch as PureGen and airbench do it, where `TrainSettings` do not reach.

References:
    Jordan, 94% on CIFAR-10 in 3.29 seconds on a single GPU, 2024, https://arxiv.org/abs/2404.00498
    Bhat et al., PureGen: universal data purification for train-time poison defense, NeurIPS 2024,
    https://arxiv.org/abs/2405.18627
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from unpoison.classify.architectures.whitening import WhiteningConv
from unpoison.classify.augment import crop_and_flip, cut_out
from unpoison.classify.checks import check_sets
from unpoison.classify.classifier import Classifier
from unpoison.classify.lookahead import Lookahead
from unpoison.classify.settings import ScratchSettings
from unpoison.classify.training import (
    OnEpoch,
    Perturb,
    TrainedClassifier,
    augmentation_source,
    corrupt,
    fit,
    new_classifier,
    on_device,
    schedule_factor,
    sgd,
)
from unpoison.core.device import choose_device
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.progress import OnStep, StepInfo

_WHITENED_FROM = 5000  # images, enough for the covariance of 12 values


def train_from_scratch(
    train_set: ImageSet,
    *,
    test_set: ImageSet,
    model: str,
    settings: ScratchSettings,
    seed: int = 0,
    device: str = "auto",
    perturb: Perturb | None = None,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
) -> TrainedClassifier:
    """Train a classifier with what its settings ask for. See `training.train`, which calls this."""
    test_set = check_sets(train_set, test_set)
    _check_sides(settings, int(train_set.sizes[0].min()))
    started = time.perf_counter()
    place = choose_device(device)
    net = new_classifier(model, train_set, settings=settings, seed=seed).to(place)
    randomness = augmentation_source(seed, place)
    inputs = on_device(train_set, place)
    whitening = _whitened(net, inputs)
    if settings.alternating_flip:
        inputs = mirror_some(inputs, randomness)
    slow = Lookahead(net.net)
    epochs_done = 0

    def view(batch: Tensor, labels: Tensor) -> Tensor:
        mirrored = settings.alternating_flip and epochs_done % 2 == 1
        augmented = _augment(batch.flip(3) if mirrored else batch, settings, fill=net.mean, randomness=randomness)
        return perturb(net, augmented, labels) if perturb else augmented

    def after_epoch(epoch: int, trained: Classifier) -> None:
        nonlocal epochs_done
        epochs_done = epoch
        if epoch >= settings.whitening_epochs:
            for layer in whitening:
                layer.requires_grad_(False)
        if on_epoch:
            on_epoch(epoch, trained)

    def after_step(info: StepInfo) -> None:
        keep = lookahead_share(settings, info.step, info.total)
        if keep is not None:
            slow.update(keep=keep)
        if on_step:
            on_step(info)

    trained = fit(
        net,
        inputs,
        torch.from_numpy(train_set.labels).to(place),
        test_set=test_set,
        learner=net,
        optimiser=_optimiser(net, settings),
        factor=lambda step, total: rate_factor(settings, step, total),
        view=view,
        settings=settings,
        seed=seed,
        on_epoch=after_epoch,
        on_step=after_step if on_step or settings.lookahead else None,
    )
    return replace(trained, seconds=time.perf_counter() - started)


def rate_factor(settings: ScratchSettings, step: int, total: int) -> float:
    """What the learning rate is multiplied by after `step` of `total` steps."""
    progress, peak = step / total, 0.23
    if settings.schedule == "cosine":
        shape = (1 + math.cos(math.pi * progress)) / 2
    elif settings.schedule == "triangle" and progress < peak:
        shape = 0.2 + 0.8 * progress / peak
    elif settings.schedule == "triangle":
        shape = 1 - 0.93 * (progress - peak) / (1 - peak)
    else:
        shape = schedule_factor(settings.schedule, step, total)
    decays = sum(step * settings.epochs // total >= epoch for epoch in settings.decay_epochs)
    return shape * 0.1**decays


def lookahead_share(settings: ScratchSettings, step: int, total: int) -> float | None:
    """The share of the slow weights that stays after a step; None where they are left alone.

    As airbench: it grows with the third power of the progress, and the last step ends on the slow weights.
    """
    if not settings.lookahead:
        return None
    if step == total:
        return 1.0
    return 0.95**settings.lookahead * (step / total) ** 3 if step % settings.lookahead == 0 else None


def mirror_some(images: Tensor, randomness: torch.Generator) -> Tensor:
    """Mirror half of [N, C, H, W] left to right, by chance."""
    mirrored = torch.rand(len(images), 1, 1, 1, generator=randomness, device=images.device) < 0.5
    return torch.where(mirrored, images.flip(3), images)


def _check_sides(settings: ScratchSettings, side: int) -> None:
    if settings.cutout > side:
        raise SettingsError(
            f"cutout={settings.cutout} is larger than the pictures, whose shorter side is {side} pixels"
        )
    if settings.reflect and settings.crop_padding >= side:
        raise SettingsError(f"crop_padding={settings.crop_padding} cannot mirror pictures of {side} pixels; lower it")


def _augment(images: Tensor, settings: ScratchSettings, *, fill: Tensor, randomness: torch.Generator) -> Tensor:
    cropped = crop_and_flip(
        images,
        padding=settings.crop_padding,
        flip=settings.flip and not settings.alternating_flip,
        generator=randomness,
        reflect=settings.reflect,
    )
    batch = corrupt(cropped, settings, randomness)
    return cut_out(batch, side=settings.cutout, fill=fill, generator=randomness) if settings.cutout else batch


def _whitened(net: Classifier, inputs: Tensor) -> list[WhiteningConv]:
    """The whitening layers of a net, whitened with pictures [N, 3, H, W] uint8 spread over the set."""
    layers = [module for module in net.modules() if isinstance(module, WhiteningConv)]
    sample = inputs[:: math.ceil(len(inputs) / _WHITENED_FROM)].float() / 255
    for layer in layers:
        layer.whiten((sample - net.mean) / net.std)
    return layers


def _optimiser(net: nn.Module, settings: ScratchSettings) -> torch.optim.Optimizer:
    if settings.optimiser == "adam":
        return torch.optim.Adam(net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    named = dict(net.named_parameters())
    # The groups of HLB nets call their normalisation `norm1` to `norm3`; the stem's is not among them.
    fast = {name for name in named if "norm" in name and name.endswith("bias")}
    groups: list[dict[str, Any]] = [
        {"params": [value for name, value in named.items() if name not in fast]},
        {
            "params": [value for name, value in named.items() if name in fast],
            "lr": settings.learning_rate * settings.bias_scaler,
            # Rate times decay is as for the others.
            "weight_decay": settings.weight_decay / settings.bias_scaler,
        },
    ]
    return sgd(groups, settings)
