"""Noise and surrogate that make each other's loss small, in turns: the frame of all error-minimising poisons."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from pydantic import Field
from torch import Tensor, nn

from unpoison.classify.classifier import Classifier
from unpoison.classify.settings import TrainSettings
from unpoison.classify.training import new_classifier
from unpoison.core.device import choose_device
from unpoison.core.images import ImageSet
from unpoison.core.pixels import to_float
from unpoison.core.progress import StepInfo
from unpoison.core.settings import bound_value
from unpoison.poisons.engine.pgd import StepSettings, cross_entropy, pgd
from unpoison.poisons.protocol import Resources

# What a network is shown of perturbed images [n, 3, H, W], given their rows in the set [n]; differentiable.
Show = Callable[[Tensor, Tensor], Tensor]
# How often the noise of classes is moved in a round: EM's script goes through a fifth of CIFAR-10 in batches of 512.
_CLASS_BATCHES = 19
_LONGEST_GRADIENT = 5.0  # of EM's surrogate; longer ones are clipped


class LearnerSettings(StepSettings):
    """The surrogate that learns along.

    Args:
        surrogate: its architecture.
        width: channels of its first stage.
        training_batch: images of a step of SGD.
        learning_rate: of the SGD; momentum 0.9, weight decay 5e-4.
    """

    surrogate: str = "resnet18"
    width: int = Field(default=64, ge=4, multiple_of=4)
    training_batch: int = Field(default=128, ge=2)
    learning_rate: float = Field(default=0.1, gt=0)


class BilevelSettings(LearnerSettings):
    """How noise and surrogate take turns. The surrogate's gradients are clipped to a length of 5.

    Args:
        training_steps: steps of SGD in each round, before the noise is moved.
        rounds: at most so many; the papers go on until `stop_error`.
        stop_error: done when the surrogate misreads a smaller share of the perturbed images.
    """

    training_steps: int = Field(default=10, ge=1)
    rounds: int = Field(default=100, ge=1)
    stop_error: float = Field(default=0.01, ge=0, le=1)


class Learner:
    """A surrogate that learns step by step while the images it sees are changed under it.

    Args:
        net: on its device, in evaluation mode between the steps.
        settings: learning rate and precision.
        longest: length to which a gradient is clipped.
    """

    def __init__(self, net: Classifier, settings: LearnerSettings, longest: float = math.inf):
        self.net, self.settings, self.longest = net, settings, longest
        self.optimiser = torch.optim.SGD(net.parameters(), lr=settings.learning_rate, momentum=0.9, weight_decay=5e-4)

    def learn(self, images: Tensor, labels: Tensor) -> None:
        """One step of SGD on images [n, 3, H, W] with labels [n]."""
        self.net.train().requires_grad_(True)
        self.optimiser.zero_grad()
        self.settings.cast(cross_entropy([self.net], labels))(images).mean().backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.longest)
        self.optimiser.step()
        self.net.eval().requires_grad_(False)

    def set_rate(self, learning_rate: float) -> None:
        """Change the learning rate from the next step on."""
        self.optimiser.param_groups[0]["lr"] = learning_rate


def new_learner(
    image_set: ImageSet,
    settings: LearnerSettings,
    *,
    generator: torch.Generator,
    resources: Resources,
    longest: float = math.inf,
) -> Learner:
    """A learner with fresh weights, on the device; its gradients clipped to the length `longest`."""
    seed = int(torch.randint(2**31, (1,), generator=generator))
    net = new_classifier(settings.surrogate, image_set, settings=TrainSettings(width=settings.width), seed=seed)
    net = net.to(choose_device(resources.device)).eval().requires_grad_(False)
    return Learner(net, settings, longest)


def batches_forever(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """[size] rows in random order, batch after batch, pass after pass; a short rest begins no batch."""
    size = min(size, count)
    while True:
        yield from torch.randperm(count, generator=generator)[: count - count % size].split(size)


@dataclass(frozen=True)
class ErrorMinimiser:
    """min over theta of the mean over images of min over delta of CE(f_theta(show(x + delta)), y).

    Args:
        image_set: the clean images.
        settings: how the two take turns.
        generator: source of weights and order.
        resources: device and progress.
        show: what the network is shown, in training and in the descent; the images themselves in EM.
        draws: how often an image is shown at each step of the descent, where `show` is random.
        per_class: one delta for each class in place of one for each image.
    """

    image_set: ImageSet
    settings: BilevelSettings
    generator: torch.Generator
    resources: Resources
    show: Show = lambda images, rows: images
    draws: int = 1
    per_class: bool = False

    def run(self) -> tuple[Tensor, dict[str, float]]:
        """Take turns until the surrogate misreads less than `stop_error`, or the rounds are over.

        Returns:
            [N, 3, H, W] float32 delta on the CPU, and facts for the manifest.
        """
        settings = self.settings
        learner = new_learner(
            self.image_set, settings, generator=self.generator, resources=self.resources, longest=_LONGEST_GRADIENT
        )
        device = next(learner.net.parameters()).device
        images = to_float(self.image_set.array()).to(device)
        labels = torch.from_numpy(self.image_set.labels).to(device)
        delta = torch.zeros_like(images)
        class_noise = delta.new_zeros(len(self.image_set.class_names), *images.shape[1:])
        order = batches_forever(len(images), settings.training_batch, self.generator)
        crowds = batches_forever(len(images), settings.batch_size, self.generator)
        error, number = 1.0, 0
        while number < settings.rounds and error >= settings.stop_error:
            number += 1
            for _ in range(settings.training_steps):
                rows = next(order).to(device)
                with torch.no_grad():
                    shown = self.show((images[rows] + delta[rows]).clamp(0, 1), rows)
                learner.learn(shown, labels[rows])
            if self.per_class:
                batches = islice(crowds, _CLASS_BATCHES)
                class_noise = self.move_classes(learner.net, images, labels, class_noise, batches)
                delta = class_noise[labels]
            wrong = 0
            for rows in torch.arange(len(images), device=device).split(settings.batch_size):
                if not self.per_class:
                    delta[rows] = self._descend(learner.net, images[rows], delta[rows], labels[rows], rows)
                perturbed = (images[rows] + delta[rows]).clamp(0, 1)
                wrong += self._count_misread(learner.net, perturbed, labels[rows], rows)
            error = wrong / len(images)
            if self.resources.on_step:
                self.resources.on_step(StepInfo(number, settings.rounds, {"error": error}))
        return delta.cpu(), {"rounds": number, "surrogate_error": error}

    def move_classes(
        self, net: Classifier, images: Tensor, labels: Tensor, noise: Tensor, batches: Iterable[Tensor]
    ) -> Tensor:
        """Move the noise of classes, batch after batch, each from where the last one left it.

        In each batch a class's noise becomes the mean of what its images there make of it, one by one.

        Args:
            net: in evaluation mode, its weights without gradients.
            images: [N, 3, H, W] float32 in [0, 1].
            labels: [N] int64.
            noise: [classes, 3, H, W]; not changed. A class that is in no batch keeps its own.
            batches: rows of the images, batch after batch.

        Returns:
            [classes, 3, H, W] in the ball.
        """
        noise = noise.clone()
        for batch in batches:
            rows = batch.to(images.device)
            classes = labels[rows]
            moved = self._descend(net, images[rows], noise[classes], classes, rows, within_range=False)
            for label in classes.unique():
                noise[label] = self.settings.ball.project(moved[classes == label].mean(dim=0, keepdim=True))[0]
        return noise

    def _descend(
        self,
        net: Classifier,
        clean: Tensor,
        delta: Tensor,
        labels: Tensor,
        rows: Tensor,
        *,
        within_range: bool = True,
    ) -> Tensor:
        """Move the noise of each image of a batch."""
        seen = cross_entropy([net], labels)

        def loss(images: Tensor) -> Tensor:
            return torch.stack([seen(self.show(images, rows)) for _ in range(self.draws)]).mean(dim=0)

        return pgd(
            clean,
            delta,
            self.settings.cast(loss),
            ball=self.settings.ball,
            step_size=bound_value(self.settings.step_size),
            steps=self.settings.steps,
            within_range=within_range,
        )

    @torch.no_grad()
    def _count_misread(self, net: Classifier, perturbed: Tensor, labels: Tensor, rows: Tensor) -> int:
        logits = self.settings.cast(lambda images: net(self.show(images, rows)))(perturbed)
        return int((logits.argmax(dim=1) != labels).sum())
