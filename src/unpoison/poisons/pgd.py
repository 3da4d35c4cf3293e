"""Projected gradient descent on pixels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def pgd(
    images: Tensor,
    delta: Tensor,
    loss: Callable[[Tensor], Tensor],
    *,
    epsilon: float,
    step_size: float,
    steps: int,
) -> Tensor:
    """Perturb images within an L-infinity ball so that a loss falls, by steps along the sign of its gradient.

    Args:
        images: [N, C, H, W] float32 in [0, 1]; not changed.
        delta: [N, C, H, W] where to start, within the ball.
        loss: maps perturbed images to a scalar; each image's share must not depend on the others.
        epsilon: radius of the ball, in [0, 1] pixel units.
        step_size: length of a step, same units.
        steps: how many.

    Returns:
        [N, C, H, W] perturbation; images + perturbation lies in [0, 1].

    References:
        Madry et al., Towards deep learning models resistant to adversarial attacks, 2018,
        https://arxiv.org/abs/1706.06083
    """
    delta = (images + delta).clamp(0, 1) - images
    for _ in range(steps):
        delta = delta.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(images + delta), delta)
        moved = (delta - step_size * gradient.sign()).clamp(-epsilon, epsilon)
        delta = (images + moved).clamp(0, 1) - images
    return delta.detach()
