"""Samplers: noise an image, then walk back to a clean one.

All take images in [0, 1] and give images in the same units. Gradients flow through them; callers that need none run
them under `torch.inference_mode()`. `on_step` is called with the images at the start (step 0) and after each call of
the network, see `ImageStep`; `should_stop` is asked before each call, and `Stopped` is raised if it says yes.

Lists of sigmas end with the last level at which the network is called: a step from there to 0 is implied. A schedule
that names the 0, as those of k-diffusion do, is given without it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from unpoison.core.errors import SettingsError
from unpoison.dynamics.steps import ImageStep, OnImageStep, ShouldStop, check_stop
from unpoison.nets.protocols import Denoiser, DiscreteModel
from unpoison.nets.schedules import abar_to_sigma

_RHO = 7.0  # how strongly levels gather at the small end, as in EDM
_FORWARD = "forward"  # name of the draw that noises the images


class DrawsNoise(Protocol):
    """`core.Noise`, or noise of another colour made from it."""

    def normal(self, like: Tensor, step: int | str) -> Tensor: ...


def ddim(
    x: Tensor,
    denoiser: Denoiser,
    *,
    sigmas: Sequence[float],
    noise: DrawsNoise,
    on_step: OnImageStep | None = None,
    should_stop: ShouldStop | None = None,
) -> Tensor:
    """Noise once, then follow the probability flow by first-order steps (DDIM with eta 0).

    Update: x <- D(x; sigma) + sigma' / sigma (x - D(x; sigma)).

    Args:
        x: [N, C, H, W] float32 in [0, 1]; not changed.
        denoiser: the network, called once per sigma.
        sigmas: falling, in [0, 1] pixel units; the first is the noise added, a last step to 0 is implied.
        noise: source of the noise, keyed by image; one draw, `forward`.
        on_step: called at the start and after each call of the network.
        should_stop: asked before each call of the network.

    Returns:
        [N, C, H, W] float32, same device; may leave [0, 1] a little.

    References:
        Song, Meng, Ermon, Denoising diffusion implicit models, 2021, https://arxiv.org/abs/2010.02502
    """
    _check_sigmas(sigmas)
    x = x + sigmas[0] * noise.normal(x, _FORWARD)
    _report(on_step, 0, len(sigmas), x)
    for step, (sigma, following) in enumerate(_pairs(sigmas), start=1):
        check_stop(should_stop)
        x0 = _denoise(denoiser, x, sigma)
        x = x0 + (following / sigma) * (x - x0)
        _report(on_step, step, len(sigmas), x, x0)
    return x


def heun(
    x: Tensor,
    denoiser: Denoiser,
    *,
    sigmas: Sequence[float],
    noise: DrawsNoise,
    on_step: OnImageStep | None = None,
    should_stop: ShouldStop | None = None,
) -> Tensor:
    """Noise once, then follow the probability flow by Heun's second-order steps; the last, to 0, by Euler's.

    Args:
        x: [N, C, H, W] float32 in [0, 1]; not changed.
        denoiser: the network, called 2n - 1 times for n sigmas.
        sigmas: falling, in [0, 1] pixel units, e.g. from `karras_sigmas`; a last step to 0 is implied.
        noise: source of the noise, keyed by image; one draw, `forward`.
        on_step: called at the start and after each call of the network.
        should_stop: asked before each call of the network.

    Returns:
        [N, C, H, W] float32, same device; may leave [0, 1] a little.

    References:
        Karras et al., Elucidating the design space of diffusion-based generative models, 2022, algorithm 1,
        https://arxiv.org/abs/2206.00364
    """
    _check_sigmas(sigmas)
    calls = 2 * len(sigmas) - 1
    x = x + sigmas[0] * noise.normal(x, _FORWARD)
    _report(on_step, 0, calls, x)
    for step, (sigma, following) in enumerate(_pairs(sigmas)):
        check_stop(should_stop)
        x0 = _denoise(denoiser, x, sigma)
        slope = (x - x0) / sigma
        euler = x + (following - sigma) * slope
        _report(on_step, 2 * step + 1, calls, euler, x0)
        if following == 0:
            return euler
        check_stop(should_stop)
        x0 = _denoise(denoiser, euler, following)
        slope_there = (euler - x0) / following
        x = x + (following - sigma) * (slope + slope_there) / 2
        _report(on_step, 2 * step + 2, calls, x, x0)
    return x


def karras_sigmas(sigma_max: float, sigma_min: float, steps: int) -> list[float]:
    """Noise levels from `sigma_max` down to `sigma_min`, even in sigma^(1 / 7).

    Args:
        sigma_max: first level.
        sigma_min: last level; not used if steps is 1.
        steps: how many levels.

    Examples:
        >>> [round(sigma, 3) for sigma in karras_sigmas(0.1, 0.01, 3)]
        [0.1, 0.035, 0.01]
    """
    if steps == 1:
        return [sigma_max]
    high, low = sigma_max ** (1 / _RHO), sigma_min ** (1 / _RHO)
    between = [(high + step / (steps - 1) * (low - high)) ** _RHO for step in range(1, steps - 1)]
    return [sigma_max, *between, sigma_min]


def ancestral(
    x: Tensor,
    model: DiscreteModel,
    *,
    t: int,
    steps: int | None = None,
    noise: DrawsNoise,
    clip: bool = True,
    on_step: OnImageStep | None = None,
    should_stop: ShouldStop | None = None,
) -> Tensor:
    """Noise to index t - 1 and walk back through the posterior q(x_{i-1} | x_i, x0), as DDPM does.

    With z = 2x - 1, for i = t - 1 ... 0:
        x0      = clamp(predicted x0, -1, 1)
        mean    = beta_i sqrt(abar_{i-1}) / (1 - abar_i) x0 + (1 - abar_{i-1}) sqrt(1 - beta_i) / (1 - abar_i) z_i
        log var = r log beta_i + (1 - r) log bt_i,  r = (v + 1) / 2,  bt_i = beta_i (1 - abar_{i-1}) / (1 - abar_i)
        z_{i-1} = mean + [i > 0] exp(log var / 2) normal
    A model without v uses bt. With fewer steps the kept indices count as neighbours, so the noise stays that of t.

    Args:
        x: [N, C, H, W] float32 in [0, 1]; not changed.
        model: the network.
        t: how many indices are walked back; 100 in ECLIPSE.
        steps: calls of the network, 1 to t; t if left out.
        noise: source of all noise, keyed by image; draws `forward`, then the index of each step but the last.
        clip: clamp the predicted x0.
        on_step: called at the start and after each call of the network.
        should_stop: asked before each call of the network.

    Returns:
        [N, C, H, W] float32, same device; in [0, 1] if `clip`.

    Raises:
        SettingsError: t beyond what the model was trained for, or steps beyond t.

    References:
        Ho, Jain, Abbeel, Denoising diffusion probabilistic models, 2020, https://arxiv.org/abs/2006.11239
        Nichol, Dhariwal, Improved denoising diffusion probabilistic models, 2021, https://arxiv.org/abs/2102.09672
        ECLIPSE, 2024, https://arxiv.org/abs/2406.15093
    """
    check_t(model, t)
    z = mix_noise(x, model.abar[t - 1], noise)
    walked = walk_back(z, model, t=t, steps=steps, noise=noise, clip=clip, on_step=on_step, should_stop=should_stop)
    return (walked + 1) / 2


def mix_noise(x: Tensor, abar: Tensor, noise: DrawsNoise) -> Tensor:
    """z = sqrt(abar) (2x - 1) + sqrt(1 - abar) normal.

    Args:
        x: [N, C, H, W] float32 in [0, 1]; not changed.
        abar: the level to go to, one float64 value of a schedule.
        noise: source of the noise, keyed by image; one draw, `forward`.

    Returns:
        [N, C, H, W] float32 in the scaling of [-1, 1] data.
    """
    return abar.sqrt().item() * (2 * x - 1) + (1 - abar).sqrt().item() * noise.normal(x, _FORWARD)


def walk_back(
    z: Tensor,
    model: DiscreteModel,
    *,
    t: int,
    steps: int | None = None,
    noise: DrawsNoise,
    clip: bool = True,
    on_step: OnImageStep | None = None,
    should_stop: ShouldStop | None = None,
) -> Tensor:
    """The second half of `ancestral`: from index t - 1 to the clean image.

    Args:
        z: [N, C, H, W] float32 in the scaling of [-1, 1] data; not changed.
        model: the network.
        t: as in `ancestral`.
        steps: as in `ancestral`.
        noise: source of the noise, keyed by image; draws the index of each step but the last.
        clip: as in `ancestral`.
        on_step: as in `ancestral`.
        should_stop: as in `ancestral`.

    Returns:
        [N, C, H, W] float32 in the same scaling; in [-1, 1] if `clip`.
    """
    indices = _kept_indices(t, t if steps is None else steps)
    levels = [*(model.abar[index].item() for index in indices), 1.0]
    if on_step:
        _report(on_step, 0, len(indices), (z + 1) / 2)
    for step, (index, abar, previous) in enumerate(zip(indices, levels, levels[1:], strict=False), start=1):
        check_stop(should_stop)
        x0, v = model.predict(z, torch.full((len(z),), float(index)))
        if clip:
            x0 = x0.clamp(-1, 1)
        z = _posterior_mean(x0, z, abar, previous)
        if step < len(indices):
            z = z + _deviation(v, abar, previous) * noise.normal(z, index)
        if on_step:
            _report(on_step, step, len(indices), (z + 1) / 2, (x0 + 1) / 2)
    return z


def ancestral_sigma(model: DiscreteModel, *, t: int) -> float:
    """The noise that `ancestral` adds, in [0, 1] pixel units; times 255 it is 6.4 for ECLIPSE's t = 100.

    Raises:
        SettingsError: t beyond what the model was trained for.
    """
    check_t(model, t)
    return abar_to_sigma(float(model.abar[t - 1]))


def check_t(model: DiscreteModel, t: int) -> None:
    """Refuse to walk back further than a model was trained for.

    Raises:
        SettingsError: t outside 1 to max_index + 1.
    """
    if not 1 <= t <= model.max_index + 1:
        raise SettingsError(f"t={t} is outside what the model was trained for, 1 to {model.max_index + 1}")


def _kept_indices(t: int, steps: int) -> list[int]:
    """Indices from t - 1 down to 0. The ends never move, so fewer steps never mean less noise or more."""
    if not 1 <= steps <= t:
        raise SettingsError(f"steps={steps} must lie between 1 and t={t}")
    if steps == 1:
        return [t - 1]
    return [round((t - 1) * (steps - 1 - step) / (steps - 1)) for step in range(steps)]


def _posterior_mean(x0: Tensor, z: Tensor, abar: float, previous: float) -> Tensor:
    alpha = abar / previous
    return (1 - alpha) * math.sqrt(previous) / (1 - abar) * x0 + (1 - previous) * math.sqrt(alpha) / (1 - abar) * z


def _deviation(v: Tensor | None, abar: float, previous: float) -> Tensor | float:
    """exp(log var / 2). The reference also patches bt_0, which is 0; no noise is drawn there, so it is not needed."""
    beta = 1 - abar / previous
    smallest = beta * (1 - previous) / (1 - abar)
    if v is None:
        return math.sqrt(smallest)
    r = (v + 1) / 2
    return torch.exp((r * math.log(beta) + (1 - r) * math.log(smallest)) / 2)


def _check_sigmas(sigmas: Sequence[float]) -> None:
    if not sigmas or any(after >= before for before, after in _pairs(sigmas)):
        raise SettingsError(f"sigmas must be positive and falling, got {list(sigmas)}")


def _pairs(sigmas: Sequence[float]) -> list[tuple[float, float]]:
    """Each level with the one that follows it; 0 follows the last."""
    return list(zip(sigmas, [*sigmas[1:], 0.0], strict=True))


def _denoise(denoiser: Denoiser, x: Tensor, sigma: float) -> Tensor:
    return denoiser.denoise(x, x.new_full((len(x),), sigma))


def _report(on_step: OnImageStep | None, step: int, total: int, images: Tensor, denoised: Tensor | None = None) -> None:
    if on_step is not None:
        on_step(ImageStep(step, total, images=images, denoised=denoised))
