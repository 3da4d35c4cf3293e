"""SEP: self-ensemble protection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from unpoison.core.device import choose_device
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.pixels import to_float, to_uint8
from unpoison.core.progress import StepInfo
from unpoison.core.settings import Bound, bound_value
from unpoison.poisons.engine.centroids import centroids, distance
from unpoison.poisons.engine.pgd import Loss, StepSettings, cross_entropy
from unpoison.poisons.engine.surrogates import CheckpointSettings, train_checkpoints
from unpoison.poisons.protocol import Attack, PoisonedSet, Resources, require_labels


class SepSettings(StepSettings, CheckpointSettings):
    """Settings of SEP. It starts at the clean images and shows them to the network as they are.

    Args:
        variant: `plain` follows the mean gradient of the checkpoints' cross-entropy; `fa` (feature alignment) that of
            the distance to the target class's mean features; `fa-vr` (variance reduction) adds the same up along a
            walk from checkpoint to checkpoint, the last and strongest of the paper's three.
        checkpoints: how many are kept, equally spaced over the training; 30, and for `fa-vr`, which uses each of them
            about twice per step, 15.
        inner_steps: steps of that walk (`fa-vr` only).
    """

    variant: Literal["plain", "fa", "fa-vr"] = "fa-vr"
    checkpoints: int = Field(default=15, ge=1)
    inner_steps: int = Field(default=15, ge=1)
    epsilon: Bound = "2/255"
    steps: int = Field(default=30, ge=1)
    step_size: Bound = "1/255"
    epochs: int = Field(default=120, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _checkpoints_of_the_paper(cls, values: dict[str, Any]) -> dict[str, Any]:
        return values if values.get("variant", "fa-vr") == "fa-vr" else {"checkpoints": 30, **values}


class SepPoison(Attack):
    """Every image is moved to where a network sees a far class, not at the end of its training only but throughout.

    The checkpoints of one training serve as the ensemble. Surrogates given by the caller take their place. Class k of
    K is moved towards class k + K // 2, as 5 is added to the ten classes of CIFAR-10.

    The published code of `fa-vr` compares the features of whichever checkpoint it visits with the class means of the
    last one; here every checkpoint is compared with its own.

    References:
        Chen et al.: Self-Ensemble Protection: Training Checkpoints Are Good Data Protectors, ICLR 2023,
        https://arxiv.org/abs/2211.12005
        Johnson and Zhang: Accelerating Stochastic Gradient Descent using Predictive Variance Reduction, NeurIPS 2013
    """

    Settings = SepSettings
    uses = ("surrogates",)

    def craft(
        self, image_set: ImageSet, settings: SepSettings, *, generator: torch.Generator, resources: Resources
    ) -> PoisonedSet:
        require_labels(image_set, "sep")
        classes = len(image_set.class_names)
        if classes < 2:
            raise SettingsError("sep moves every image towards another class; it needs at least two classes")
        models = train_checkpoints("sep", image_set, settings, generator=generator, resources=resources)
        device = choose_device(resources.device)
        targets = ((torch.from_numpy(image_set.labels) + classes // 2) % classes).to(device)
        if settings.variant != "plain":
            means = [centroids(model, resources.clean_set or image_set) for model in models]

        def losses_of(rows: Tensor) -> list[Loss]:
            """One loss for each checkpoint."""
            wanted = targets[rows]
            if settings.variant == "plain":
                return [settings.cast(cross_entropy([model], wanted)) for model in models]
            return [settings.cast(distance(model, mean[wanted])) for model, mean in zip(models, means, strict=True)]

        pictures, stored = image_set.array(), []
        batches = torch.arange(len(pictures)).split(settings.batch_size)
        for number, rows in enumerate(batches, start=1):
            clean = to_float(pictures[rows.numpy()]).to(device)
            stored.append(to_uint8(protect(clean, losses_of(rows.to(device)), settings, generator)))
            if resources.on_step:
                resources.on_step(StepInfo(number, len(batches)))
        return PoisonedSet(np.concatenate(stored), image_set.ids, "availability")


def protect(clean: Tensor, losses: Sequence[Loss], settings: SepSettings, generator: torch.Generator) -> Tensor:
    """Perturb one batch.

    Args:
        clean: [N, 3, H, W] float32 in [0, 1].
        losses: one for each checkpoint.
        settings: of the attack.
        generator: says which checkpoint the walk visits next.

    Returns:
        [N, 3, H, W] float32 in [0, 1].
    """
    images = clean
    for _ in range(settings.steps):
        gradients = torch.stack([gradient(loss, images) for loss in losses])
        if settings.variant == "fa-vr":
            way = reduced_variance(images, gradients, losses, clean=clean, settings=settings, generator=generator)
        else:
            way = gradients.mean(dim=0)
        images = step_down(images, way, clean=clean, settings=settings)
    return images


def reduced_variance(
    images: Tensor,
    gradients: Tensor,
    losses: Sequence[Loss],
    *,
    clean: Tensor,
    settings: SepSettings,
    generator: torch.Generator,
) -> Tensor:
    """Sum of the gradients along a short walk, at each step of which one checkpoint speaks for all.

    What it says is corrected by how far it was from the mean of all of them where the walk began. The walk itself is
    forgotten; only its sum counts.

    Args:
        images: [N, 3, H, W] where it begins.
        gradients: [checkpoints, N, 3, H, W], of every checkpoint's loss there.
        losses: one for each checkpoint.
        clean: [N, 3, H, W], the centre of the ball.
        settings: its radius, and number and length of the steps.
        generator: says which checkpoint is next.

    Returns:
        [N, 3, H, W].
    """
    mean = gradients.mean(dim=0)
    total = torch.zeros_like(mean)
    for chosen in torch.randint(len(losses), (settings.inner_steps,), generator=generator).tolist():
        total += gradient(losses[chosen], images) - (gradients[chosen] - mean)
        images = step_down(images, total, clean=clean, settings=settings)
    return total


def gradient(loss: Loss, images: Tensor) -> Tensor:
    """Gradient of each image's loss by its pixels, [N, C, H, W]; one graph at a time, so that many checkpoints fit."""
    images = images.detach().requires_grad_()
    return torch.autograd.grad(loss(images).sum(), images)[0]


def step_down(images: Tensor, way: Tensor, *, clean: Tensor, settings: SepSettings) -> Tensor:
    """One step against a gradient, within the ball around the clean images and within [0, 1]."""
    delta = settings.ball.step(images - clean, way, bound_value(settings.step_size))
    return (clean + delta).clamp(0, 1)
