"""REM: robust error-minimising noise, made to survive adversarial training."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from unpoison.classify.augment import crop_and_flip
from unpoison.classify.classifier import Classifier
from unpoison.core.images import ImageSet
from unpoison.core.pixels import to_float, to_uint8
from unpoison.core.progress import StepInfo
from unpoison.core.settings import Bound, bound_value
from unpoison.poisons.engine.bilevel import LearnerSettings, batches_forever, new_learner
from unpoison.poisons.engine.pgd import Ball, Loss, cross_entropy, pgd
from unpoison.poisons.protocol import Attack, PoisonedSet, Resources, require_labels


class RemSettings(LearnerSettings):
    """Settings of REM.

    Args:
        training_steps: steps of adversarial training; the rate falls to a tenth after two and after four fifths.
        transforms: random crops and mirrors over which a step of the noise is averaged.
        adversary_radius: what the adversary may add, L-infinity; below epsilon.
        adversary_steps: steps of his attack.
        adversary_step_size: their length.
        crop_padding: black frame of the random crops.
    """

    steps: int = Field(default=10, ge=1)
    step_size: Bound = "1.6/255"
    training_steps: int = Field(default=5000, ge=1)
    transforms: int = Field(default=5, ge=1)
    adversary_radius: Bound = "4/255"
    adversary_steps: int = Field(default=10, ge=1)
    adversary_step_size: Bound = "0.8/255"
    crop_padding: int = Field(default=4, ge=0)


class RemPoison(Attack):
    """Every image is moved to where not even the worst change within a small ball lets a network err.

    References:
        Fu et al.: Robust Unlearnable Examples: Protecting Data Against Adversarial Learning, ICLR 2022,
        https://arxiv.org/abs/2203.14533
    """

    Settings = RemSettings

    def craft(
        self, image_set: ImageSet, settings: RemSettings, *, generator: torch.Generator, resources: Resources
    ) -> PoisonedSet:
        require_labels(image_set, "rem")
        learner = new_learner(image_set, settings, generator=generator, resources=resources)
        robust = _Robust(learner.net, settings, generator)
        images = to_float(image_set.array())
        labels = torch.from_numpy(image_set.labels)
        device = next(learner.net.parameters()).device
        order = batches_forever(len(images), settings.training_batch, generator)
        batches = torch.arange(len(images)).split(settings.batch_size)
        total = settings.training_steps + len(batches)
        for step in range(settings.training_steps):
            learner.set_rate(settings.learning_rate * 0.1 ** (5 * step // (2 * settings.training_steps)))
            rows = next(order)
            clean, wanted = images[rows].to(device), labels[rows].to(device)
            # The published noise is whole levels, and so is what the surrogate learns from.
            delta = robust.minimise(clean, wanted).mul(255).round().div(255)
            seen = robust.view(clean + delta)
            learner.learn(robust.attack(seen, wanted), wanted)
            if resources.on_step:
                resources.on_step(StepInfo(step + 1, total))
        stored = []
        for number, rows in enumerate(batches, start=settings.training_steps + 1):
            clean, wanted = images[rows].to(device), labels[rows].to(device)
            stored.append(to_uint8(clean + robust.minimise(clean, wanted)))
            if resources.on_step:
                resources.on_step(StepInfo(number, total))
        return PoisonedSet(np.concatenate(stored), image_set.ids, "availability")


class _Robust:
    """The inner game: noise that makes the loss small where an adversary makes it large.

    Args:
        net: in evaluation mode, its weights without gradients.
        settings: of both players.
        generator: source of starts and crops, on the CPU.
    """

    def __init__(self, net: Classifier, settings: RemSettings, generator: torch.Generator):
        self.net, self.settings, self.generator = net, settings, generator
        self.adversary = Ball("linf", bound_value(settings.adversary_radius))
        device = next(net.parameters()).device
        self.draws = torch.Generator(device).manual_seed(int(torch.randint(2**62, (1,), generator=generator)))

    def minimise(self, clean: Tensor, labels: Tensor) -> Tensor:
        """The noise of a batch: min over delta of the mean over views t of max over a of CE(f(t(x + delta) + a), y)."""
        settings = self.settings
        return pgd(
            clean,
            settings.ball.draw_uniform(clean, self.generator),
            self._worst_case(labels),
            ball=settings.ball,
            step_size=bound_value(settings.step_size),
            steps=settings.steps,
        )

    def attack(self, shown: Tensor, labels: Tensor) -> Tensor:
        """What the adversary makes of images: max over a of CE(f(image + a), y)."""
        loss = cross_entropy([self.net], labels)
        start = self.adversary.draw_uniform(shown, self.generator)
        return shown + pgd(
            shown,
            start,
            self.settings.cast(lambda images: -loss(images)),
            ball=self.adversary,
            step_size=bound_value(self.settings.adversary_step_size),
            steps=self.settings.adversary_steps,
        )

    def view(self, images: Tensor) -> Tensor:
        """A random crop and mirror of each image; differentiable."""
        return crop_and_flip(images, padding=self.settings.crop_padding, flip=True, generator=self.draws)

    def _worst_case(self, labels: Tensor) -> Loss:
        seen = cross_entropy([self.net], labels)

        def loss(images: Tensor) -> Tensor:
            total = torch.zeros(len(images), device=images.device)
            for _ in range(self.settings.transforms):
                view = self.view(images)
                change = self.attack(view.detach(), labels) - view.detach()
                total = total + seen(view + change)
            return total / self.settings.transforms

        return self.settings.cast(loss)
