"""Noise schedules: how much of the image is left at each index of a diffusion model.

A model is only right with the schedule it was trained with, so the schedule is part of the model. Two scales of noise
are in use. `abar` is the share of the variance that is still image, for data in [-1, 1]. `sigma` is the standard
deviation of noise added to an image in [0, 1]. They say the same: abar = 1 / (1 + 4 sigma^2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from unpoison.core.errors import ModelError

_BETA_MAX = 0.999
_STEPS_MAX = 100_000

Level = TypeVar("Level", float, Tensor)


@dataclass(frozen=True)
class Schedule:
    """A schedule by name, small enough for a header of a weights file.

    Args:
        name: `cosine` or `linear`.
        steps: T, the number of indices.

    Raises:
        ModelError: an unknown name, or a number of steps out of range.

    Examples:
        >>> round(Schedule("cosine", 4000).abar()[99].item(), 6)
        0.997513
    """

    name: str
    steps: int

    def __post_init__(self) -> None:
        if self.name not in _FORMULAS:
            raise ModelError(f"there is no noise schedule '{self.name}'; choose from {', '.join(sorted(_FORMULAS))}")
        if not 1 <= self.steps <= _STEPS_MAX:
            raise ModelError(f"a noise schedule has 1 to {_STEPS_MAX} steps, got {self.steps}")

    def abar(self) -> Tensor:
        """[T] float64 on the CPU, falling."""
        return _FORMULAS[self.name](self.steps)


def cosine_abar(steps: int = 4000) -> Tensor:
    """Cosine schedule: beta_i = min(1 - f((i + 1) / T) / f(i / T), 0.999), f(u) = cos^2((u + 0.008) / 1.008 pi / 2).

    Returns:
        [steps] float64, the cumulative product of 1 - beta.

    References:
        Nichol, Dhariwal, Improved denoising diffusion probabilistic models, 2021, https://arxiv.org/abs/2102.09672
    """
    u = torch.arange(steps + 1, dtype=torch.float64) / steps
    left = torch.cos((u + 0.008) / 1.008 * (math.pi / 2)) ** 2
    return _cumulate(1 - left[1:] / left[:-1])


def linear_abar(steps: int = 1000) -> Tensor:
    """Linear schedule: beta from 1e-4 to 0.02 over 1000 steps, scaled by 1000 / T for other T.

    Returns:
        [steps] float64, the cumulative product of 1 - beta.

    References:
        Ho, Jain, Abbeel, Denoising diffusion probabilistic models, 2020, https://arxiv.org/abs/2006.11239
    """
    scale = 1000 / steps
    return _cumulate(torch.linspace(scale * 1e-4, scale * 0.02, steps, dtype=torch.float64))


def vp_abar(t: float) -> float:
    """The variance-preserving schedule in continuous time, 0 to 1, which the linear one cuts into steps.

    abar(t) = exp(-9.95 t^2 - 0.1 t), of beta(t) = 0.1 + 19.9 t.

    Examples:
        >>> round(vp_abar(0.1), 4), round(255 * abar_to_sigma(vp_abar(0.1)))
        (0.8963, 43)

    References:
        Song et al., Score-Based Generative Modeling through Stochastic Differential Equations, ICLR 2021,
        https://arxiv.org/abs/2011.13456
    """
    return math.exp(-9.95 * t**2 - 0.1 * t)


def vp_beta(t: float) -> float:
    """How fast `vp_abar` falls: -d log abar / dt."""
    return 0.1 + 19.9 * t


def sigma_to_abar(sigma: Level) -> Level:
    """Noise on [0, 1] images to the share of variance that is image; floats and tensors."""
    return 1 / (1 + 4 * sigma**2)


def abar_to_sigma(abar: Level) -> Level:
    """Share of variance that is image to the noise on [0, 1] images; floats and tensors.

    Examples:
        >>> round(255 * abar_to_sigma(float(cosine_abar()[99])), 1)
        6.4
    """
    sigma: Level = ((1 - abar) / abar) ** 0.5 / 2
    return sigma


def abar_at(abar: Tensor, index: Tensor) -> Tensor:
    """The level of a fractional index, linear in log SNR = log(abar / (1 - abar)) between two indices.

    Args:
        abar: [T] float64 schedule.
        index: [N], from 0 to T - 1.

    Returns:
        [N] float64 on the CPU.
    """
    log_snr = torch.logit(abar)
    index = index.double().cpu()
    below = index.floor().long().clamp(max=len(abar) - 1)
    above = (below + 1).clamp(max=len(abar) - 1)
    return torch.sigmoid(torch.lerp(log_snr[below], log_snr[above], index - below))


def index_at(abar: Tensor, level: Tensor) -> Tensor:
    """The fractional index of a level: the inverse of `abar_at`.

    Args:
        abar: [T] float64 schedule.
        level: [N]; what lies outside the schedule goes to its nearest end.

    Returns:
        [N] float64 on the CPU.
    """
    if len(abar) == 1:
        return torch.zeros(len(level), dtype=torch.float64)
    noise = -torch.logit(abar)  # rising, as searchsorted wants it
    wanted = -torch.logit(level.double().cpu())
    below = (torch.searchsorted(noise, wanted, right=True) - 1).clamp(0, len(abar) - 2)
    fraction = (wanted - noise[below]) / (noise[below + 1] - noise[below])
    return below + fraction.clamp(0, 1)


def _cumulate(beta: Tensor) -> Tensor:
    return torch.cumprod(1 - beta.clamp(max=_BETA_MAX), dim=0)


_FORMULAS = {"cosine": cosine_abar, "linear": linear_abar}
