"""Langevin dynamics on the energy of an image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unpoison.dynamics.samplers import DrawsNoise
from unpoison.dynamics.steps import ImageStep, OnImageStep, ShouldStop, check_stop

Energy = Callable[[Tensor], Tensor]


def langevin(
    x: Tensor,
    energy: Energy,
    *,
    steps: int = 150,
    step_size: float = 1.25e-2,
    temperature: float = 1e-4,
    noise: DrawsNoise,
    on_step: OnImageStep | None = None,
    should_stop: ShouldStop | None = None,
) -> Tensor:
    """Move images towards low energy, with noise that keeps them apart.

    Update (equation 4 of the paper): x <- x - step_size^2 / (2 temperature) dE/dx + step_size z; the factor of the
    gradient is 0.78125 at the defaults. Nothing is clamped on the way.

    Works under `torch.inference_mode()` too. Gradients reach the pixels alone, and none flow through the result.

    Args:
        x: [N, C, H, W] float32 in [-1, 1]; not changed.
        energy: maps [N, C, H, W] to [N]; lower is more natural.
        steps: how many.
        step_size: epsilon of the paper, in units of the [-1, 1] range.
        temperature: tau of the paper.
        noise: source of all noise, keyed by image; one draw a step, 1 to `steps`: the first steps of a long chain are
            those of a short one.
        on_step: called at the start and after each step, then with the mean energy before it.
        should_stop: asked before each step.

    Returns:
        [N, C, H, W] float32, same device; may leave [-1, 1].

    Raises:
        Stopped: `should_stop` said so.

    Examples:
        >>> from unpoison.core.noise import Noise
        >>> levels = []
        >>> look = lambda info: levels.append(round(info.images.mean().item(), 2))
        >>> grey, bowl = torch.full((1, 3, 32, 32), 0.6), lambda x: x.square().flatten(1).sum(dim=1) / 4
        >>> moved = langevin(grey, bowl, steps=2, noise=Noise(0, "example", ["a"]), on_step=look)
        >>> levels
        [0.8, 0.68, 0.61]

    References:
        Bhat et al., PureGen: Universal Data Purification for Train-Time Poison Defense via Generative Model Dynamics,
        2024, https://arxiv.org/abs/2405.18627
    """
    drift = drift_factor(step_size, temperature)
    with torch.inference_mode(False), torch.enable_grad():
        x = x.detach().clone()  # what was made in inference mode can have no gradient
        if on_step:
            on_step(ImageStep(0, steps, images=(x + 1) / 2))
        for step in range(1, steps + 1):
            check_stop(should_stop)
            energies, gradient = energy_and_gradient(x, energy)
            x = x - drift * gradient + step_size * noise.normal(x, step)
            if on_step:
                on_step(ImageStep(step, steps, {"energy": energies.mean().item()}, images=(x + 1) / 2))
    return x


def drift_factor(step_size: float, temperature: float) -> float:
    """What the gradient of the energy is multiplied by.

    >>> round(drift_factor(1.25e-2, 1e-4), 9)
    0.78125
    """
    return step_size**2 / (2 * temperature)


def energy_and_gradient(x: Tensor, energy: Energy) -> tuple[Tensor, Tensor]:
    """Energies [N] of images [N, C, H, W], and the gradient of each image's own; the graph is freed."""
    pixels = x.detach().requires_grad_()
    energies = energy(pixels)
    (gradient,) = torch.autograd.grad(energies.sum(), pixels)
    return energies.detach(), gradient
