"""Adam on the pixels of a few pictures that share one loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from unpoison.classify.classifier import channel_statistics
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.progress import OnStep, StepInfo
from unpoison.core.settings import bound_value
from unpoison.poisons.engine.pgd import Ball

# From a perturbation [N, 3, H, W] to the loss and its gradient, of the same shape.
Slope = Callable[[Tensor], tuple[float, Tensor]]


def descend(
    images: Tensor,
    delta: Tensor,
    slope: Slope,
    *,
    ball: Ball,
    unit: Tensor,
    learning_rate: float,
    steps: int,
    signed: bool = False,
    decay_at: Sequence[float] = (),
    on_step: OnStep | None = None,
) -> Tensor:
    """Move perturbations together with Adam, and back into what is allowed after each step.

    Args:
        images: [N, 3, H, W] float32 in [0, 1]; not changed.
        delta: [N, 3, H, W] where to start.
        slope: loss and gradient of a perturbation.
        ball: what is allowed.
        unit: [1, 3, 1, 1] what Adam's unit is in pixels; the papers' attacks move normalised pictures.
        learning_rate: of Adam, in these units.
        steps: how many.
        signed: give Adam only the sign of the gradient.
        decay_at: shares of the steps, down to whole ones, after which the learning rate falls to a tenth.
        on_step: called after each step with the loss before it.

    Returns:
        [N, 3, H, W] perturbation in the ball; images + perturbation lies in [0, 1].

    References:
        Kingma and Ba, Adam: a method for stochastic optimization, ICLR 2015, https://arxiv.org/abs/1412.6980
    """

    def allowed(moved: Tensor) -> Tensor:
        return (images + ball.project(moved)).clamp(0, 1) - images

    delta = allowed(delta)
    normalised = (delta / unit).requires_grad_()
    optimiser = torch.optim.Adam([normalised], lr=learning_rate)
    milestones = [int(share * steps) for share in decay_at]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones, gamma=0.1)
    for step in range(1, steps + 1):
        loss, gradient = slope(delta)
        normalised.grad = gradient.sign() if signed else gradient * unit
        optimiser.step()
        schedule.step()
        delta = allowed(unit * normalised.detach())
        normalised.data = delta / unit
        if on_step:
            on_step(StepInfo(step, steps, {"loss": loss}))
    return delta


def stored_ball(epsilon: str) -> Ball:
    """The perturbations of whole levels within a bound, so that rounding to 8 bits never leaves it.

    Raises:
        SettingsError: the bound is below one level.
    """
    levels = math.floor(255 * bound_value(epsilon) + 1e-6)
    if not levels:
        raise SettingsError(f"epsilon={epsilon} is less than one level of 8 bits; raise it to 1/255 or more")
    return Ball("linf", levels / 255)


def channel_unit(image_set: ImageSet, device: torch.device) -> Tensor:
    """[1, 3, 1, 1] deviation of each channel over a set: one unit of a normalised picture, in pixels."""
    _, deviations = channel_statistics(image_set.array())
    return torch.tensor(deviations, dtype=torch.float32, device=device).view(1, 3, 1, 1)
