"""PIL: perturbations that a linear classifier reads, so that a network becomes linear too."""

from __future__ import annotations

import math

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from unpoison.core.device import choose_device
from unpoison.core.images import ImageSet
from unpoison.core.pixels import to_float, to_uint8
from unpoison.core.progress import StepInfo
from unpoison.core.settings import Bound, bound_value
from unpoison.poisons.engine.bilevel import batches_forever
from unpoison.poisons.engine.pgd import Loss, StepSettings, pgd
from unpoison.poisons.protocol import Attack, PoisonedSet, Resources, require_labels


class PilSettings(StepSettings):
    """Settings of PIL: 30 steps of a tenth of epsilon from a random start. Precision is that of these steps.

    Args:
        shortcut: weight of the noise being read as the class; the rest is that of nothing being read from the picture.
        epochs: passes over the clean set in which the linear classifier is trained.
        training_batch: images of a step of that training.
        learning_rate: its rate at the start, which falls to zero in half a wave; momentum 0.9, no weight decay.
    """

    shortcut: float = Field(default=0.9, ge=0, le=1)
    steps: int = Field(default=30, ge=1)
    step_size: Bound = "0.8/255"
    batch_size: int = Field(default=512, ge=1)
    epochs: int = Field(default=30, ge=1)
    training_batch: int = Field(default=512, ge=1)
    learning_rate: float = Field(default=0.003, gt=0)


class PilPoison(Attack):
    """Noise in which a linear classifier of the clean set sees the class, taken off a picture in which it sees none.

    It is the stronger, the more pictures the classifier has learned from.

    What is stored is x - delta, where delta lowers w CE(W delta, y) + (1 - w) KL(uniform || softmax(W (x - delta)))
    within its bound and, at every step, within the range of pixels. W has no bias, so that noise alone has a class.

    The published code trains W as a product of two matrices with random first values. Here it is one matrix that begins
    at zero: it says the same, and holds nothing but what the pictures put there, even after a short training on few.

    References:
        Liu, Chen, Zhang: Perturbation-Induced Linearization: Constructing Unlearnable Data with Solely Linear
        Classifiers, ICLR 2026, https://arxiv.org/abs/2601.19967
    """

    Settings = PilSettings

    def craft(
        self, image_set: ImageSet, settings: PilSettings, *, generator: torch.Generator, resources: Resources
    ) -> PoisonedSet:
        require_labels(image_set, "pil")
        device = choose_device(resources.device)
        weights = fit_linear(resources.clean_set or image_set, settings, generator=generator, device=device)
        images, labels = image_set.array(), torch.from_numpy(image_set.labels)
        stored, read = [], 0
        batches = torch.arange(len(images)).split(settings.batch_size)
        for number, rows in enumerate(batches, start=1):
            clean, wanted = to_float(images[rows.numpy()]).to(device), labels[rows].to(device)
            change = pgd(
                clean,
                settings.ball.draw_uniform(clean, generator),
                settings.cast(linearising(weights, clean, wanted, settings.shortcut)),
                ball=settings.ball,
                step_size=bound_value(settings.step_size),
                steps=settings.steps,
            )
            stored.append(to_uint8(clean + change))
            read += int((_logits(-change, weights).argmax(dim=1) == wanted).sum())
            if resources.on_step:
                resources.on_step(StepInfo(number, len(batches)))
        facts = {"noise_read_linearly": read / len(images)}
        return PoisonedSet(np.concatenate(stored), image_set.ids, "availability", facts=facts)


def fit_linear(
    image_set: ImageSet, settings: PilSettings, *, generator: torch.Generator, device: torch.device
) -> Tensor:
    """A linear classifier without bias, trained by SGD on the pictures as they are.

    Args:
        image_set: clean labelled pictures of one size.
        settings: length, batch and rate of the training.
        generator: source of the order.
        device: where to compute.

    Returns:
        [classes, 3 H W] float32 on the device, to be multiplied with values in [0, 1].
    """
    images, labels = image_set.array(), torch.from_numpy(image_set.labels)
    weights = torch.zeros(len(image_set.class_names), images[0].size, device=device, requires_grad=True)
    optimiser = torch.optim.SGD([weights], lr=settings.learning_rate, momentum=0.9)
    total = settings.epochs * max(1, len(images) // settings.training_batch)
    order = batches_forever(len(images), settings.training_batch, generator)
    for step in range(total):
        optimiser.param_groups[0]["lr"] = settings.learning_rate * (1 + math.cos(math.pi * step / total)) / 2
        rows = next(order)
        logits = _logits(to_float(images[rows.numpy()]).to(device), weights)
        optimiser.zero_grad()
        F.cross_entropy(logits, labels[rows].to(device)).backward()
        optimiser.step()
    return weights.detach()


def linearising(weights: Tensor, clean: Tensor, labels: Tensor, shortcut: float) -> Loss:
    """What PIL's noise lowers, of the images that are stored.

    Args:
        weights: [classes, 3 H W] of the linear classifier.
        clean: [N, 3, H, W] the images before; the noise is what was taken off them.
        labels: [N] int64.
        shortcut: w of `PilPoison`.
    """

    def loss(images: Tensor) -> Tensor:
        shown = F.cross_entropy(_logits(clean - images, weights), labels, reduction="none")
        # KL(uniform || p) without its constant, the log of the number of classes.
        hidden = -F.log_softmax(_logits(images, weights), dim=1).mean(dim=1)
        return shortcut * shown + (1 - shortcut) * hidden

    return loss


def _logits(images: Tensor, weights: Tensor) -> Tensor:
    return images.flatten(1) @ weights.T
