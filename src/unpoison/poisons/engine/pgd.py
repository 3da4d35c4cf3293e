"""Projected gradient descent on pixels: the engine of every attack that follows a network's gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from unpoison.classify.augment import crop_and_flip
from unpoison.classify.classifier import Classifier
from unpoison.core.pixels import to_float, to_uint8
from unpoison.core.precision import autocast
from unpoison.core.progress import OnStep, StepInfo
from unpoison.core.settings import Bound, Precision, Settings, bound_value

# From perturbed images [N, 3, H, W] to one loss per image [N]; what it falls by, an image moves for.
Loss = Callable[[Tensor], Tensor]
View = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Ball:
    """The perturbations that an attacker allows himself.

    Args:
        norm: `linf` bounds every value, `l2` the length over all values of an image.
        epsilon: radius in [0, 1] pixel units.
    """

    norm: Literal["linf", "l2"]
    epsilon: float

    def project(self, delta: Tensor) -> Tensor:
        """The nearest perturbation inside, [N, C, H, W]."""
        if self.norm == "linf":
            return delta.clamp(-self.epsilon, self.epsilon)
        return delta * (self.epsilon / _lengths(delta).clamp(min=self.epsilon))

    def step(self, delta: Tensor, gradient: Tensor, step_size: float) -> Tensor:
        """One step downhill, steepest in this norm: along the sign of the gradient, or along the gradient itself.

        Args:
            delta: [N, C, H, W] perturbations inside; not changed.
            gradient: the same shape.
            step_size: in [0, 1] pixel units, as `epsilon`.
        """
        way = gradient.sign() if self.norm == "linf" else gradient / _lengths(gradient).clamp(min=1e-12)
        return self.project(delta - step_size * way)

    def draw(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """A random start of a shape as in TAP, [N, C, H, W]: Gaussian of deviation epsilon, then projected."""
        noise = torch.randn(like.shape, generator=generator).to(like.device)
        return self.project(self.epsilon * noise)

    def draw_uniform(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """A random start, uniform in [-epsilon, epsilon] at every value, then projected."""
        noise = 2 * torch.rand(like.shape, generator=generator).to(like.device) - 1
        return self.project(self.epsilon * noise)


def pgd(
    images: Tensor,
    delta: Tensor,
    loss: Loss,
    *,
    ball: Ball,
    step_size: float,
    steps: int,
    view: View | None = None,
    within_range: bool = True,
) -> Tensor:
    """Perturb images so that a loss falls.

    Args:
        images: [N, C, H, W] float32 in [0, 1]; not changed.
        delta: [N, C, H, W] where to start, within the ball.
        loss: one value per image, which must not depend on the other images.
        ball: what is allowed.
        step_size: length of a step in the ball's norm, in [0, 1] pixel units.
        steps: how many.
        view: what the loss is shown, drawn anew at each step, e.g. a random crop; differentiable.
        within_range: cut what leaves [0, 1] after the last step too, as after every other. A noise for many images is
            found without, for what one of them has no room for may fit the others.

    Returns:
        [N, C, H, W] perturbation in the ball; images + perturbation lies in [0, 1] if asked for.

    References:
        Madry et al., Towards deep learning models resistant to adversarial attacks, 2018,
        https://arxiv.org/abs/1706.06083
    """
    delta = moved = (images + delta).clamp(0, 1) - images
    for _ in range(steps):
        delta = delta.detach().requires_grad_()
        shown = images + delta
        (gradient,) = torch.autograd.grad(loss(view(shown) if view else shown).sum(), delta)
        moved = ball.step(delta.detach(), gradient, step_size)
        delta = (images + moved).clamp(0, 1) - images
    return delta if within_range else moved


class StepSettings(Settings):
    """How an image is moved. Each attack says what these are in its paper.

    Args:
        norm: `linf` bounds every value of the perturbation, `l2` its length.
        epsilon: the bound, in [0, 1] pixel units.
        steps: steps of gradient descent.
        step_size: length of a step, in the same norm.
        batch_size: images perturbed at once.
        precision: in which the network computes: `fp32`, `bf16`, or `auto` for the faster one of the device.
    """

    norm: Literal["linf", "l2"] = "linf"
    epsilon: Bound = "8/255"
    steps: int = Field(default=250, ge=1)
    step_size: Bound = "0.4/255"
    batch_size: int = Field(default=256, ge=1)
    precision: Precision = "auto"

    @property
    def ball(self) -> Ball:
        """The bound as a ball."""
        return Ball(self.norm, bound_value(self.epsilon))

    def cast(self, loss: Loss) -> Loss:
        """The loss, computed in the precision asked for and given in fp32."""

        def computed(images: Tensor) -> Tensor:
            with autocast(self.precision, images.device):
                return loss(images).float()

        return computed


class DescentSettings(StepSettings):
    """How a set is moved against networks that stay as they are.

    Args:
        restarts: random starts, of which each image keeps the best.
        crop_padding: black frame from which a random crop is shown to the network at each step; 0 for none.
        flip: mirror half of what is shown.
    """

    restarts: int = Field(default=1, ge=1)
    crop_padding: int = Field(default=4, ge=0)
    flip: bool = True


@dataclass(frozen=True)
class Descent:
    """The engine: moves a whole set, batch by batch.

    Args:
        settings: how.
        device: where the networks are.
        generator: source of starts and crops, on the CPU.
        on_step: called after each batch.
    """

    settings: DescentSettings
    device: torch.device
    generator: torch.Generator
    on_step: OnStep | None = None

    def run(self, images: np.ndarray, loss_of: Callable[[Tensor], Loss], *, random_start: bool = True) -> np.ndarray:
        """Perturb a set.

        Args:
            images: [N, H, W, 3] uint8.
            loss_of: gives, for the rows of a batch [n] int64 on the device, the loss of its images. The loss is
                computed under autocast where `precision` is bf16.
            random_start: begin anywhere in the ball; else at the clean images.

        Returns:
            [N, H, W, 3] uint8.
        """
        stored = []
        batches = torch.arange(len(images)).split(self.settings.batch_size)
        for number, rows in enumerate(batches, start=1):
            clean = to_float(images[rows.numpy()]).to(self.device)
            best = self.perturb(clean, loss_of(rows.to(self.device)), random_start=random_start)
            stored.append(to_uint8(clean + best))
            if self.on_step:
                self.on_step(StepInfo(number, len(batches)))
        return np.concatenate(stored)

    def perturb(self, clean: Tensor, loss: Loss, *, random_start: bool = True) -> Tensor:
        """The perturbation [N, 3, H, W] of one batch: for each image, the restart with the lowest loss."""
        settings, ball = self.settings, self.settings.ball
        lower = settings.cast(loss)
        best, lowest = torch.zeros_like(clean), torch.full((len(clean),), torch.inf, device=self.device)
        for _ in range(settings.restarts):
            start = ball.draw(clean, self.generator) if random_start else torch.zeros_like(clean)
            delta = pgd(
                clean,
                start,
                lower,
                ball=ball,
                step_size=bound_value(settings.step_size),
                steps=settings.steps,
                view=self.view(),
            )
            if settings.restarts == 1:
                return delta
            with torch.no_grad():
                reached = lower(clean + delta)
            better = reached < lowest
            best[better], lowest[better] = delta[better], reached[better]
        return best

    def view(self) -> View | None:
        """A random crop and mirror, drawn from the generator whenever it is called; None if neither is wanted."""
        padding, flip = self.settings.crop_padding, self.settings.flip
        if not padding and not flip:
            return None
        seed = int(torch.randint(2**62, (1,), generator=self.generator))
        draws = torch.Generator(self.device).manual_seed(seed)
        return lambda images: crop_and_flip(images, padding=padding, flip=flip, generator=draws)


def cross_entropy(models: list[Classifier], labels: Tensor) -> Loss:
    """Mean over models of the cross-entropy of each image with its label.

    Args:
        models: in evaluation mode, their weights without gradients.
        labels: [N] int64, on their device.
    """

    def loss(images: Tensor) -> Tensor:
        losses = [F.cross_entropy(model(images).float(), labels, reduction="none") for model in models]
        return torch.stack(losses).mean(dim=0)

    return loss


def _lengths(values: Tensor) -> Tensor:
    lengths: Tensor = values.flatten(1).norm(dim=1)
    return lengths.view(-1, 1, 1, 1)
