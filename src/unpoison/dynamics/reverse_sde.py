"""The variance-preserving diffusion as a stochastic differential equation: noise an image, and run time backwards."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from unpoison.dynamics.samplers import DrawsNoise, mix_noise
from unpoison.dynamics.steps import ImageStep, OnImageStep, ShouldStop, check_stop
from unpoison.nets.protocols import Denoiser
from unpoison.nets.schedules import abar_to_sigma, vp_abar, vp_beta

_END = 1e-5  # time at which the walk ends; at 0 the score has no bound


def reverse_sde(
    x: Tensor,
    denoiser: Denoiser,
    *,
    t: float,
    steps: int,
    noise: DrawsNoise,
    on_step: OnImageStep | None = None,
    should_stop: ShouldStop | None = None,
) -> Tensor:
    """Noise to time t, and walk back by Euler-Maruyama steps of equal length.

    With z = 2x - 1, h the length of a step, and the score s = (sqrt(abar) x0 - z) / (1 - abar), x0 being what the
    denoiser makes of z:
        z <- z + h beta(t) (z / 2 + s) + sqrt(h beta(t)) normal
    The last step draws noise too, which stays in the image: 1.4/255 with steps of 0.001, more with longer ones. Where
    the walk is below the denoiser's smallest noise, the denoiser is told that one.

    Args:
        x: [N, C, H, W] float32 in [0, 1]; not changed.
        denoiser: the network, called once a step.
        t: time to noise to, above 0 and up to 1; the noise must be within what the denoiser was trained for.
        steps: how many; the published codes take 1000 t.
        noise: source of all noise, keyed by image; draws `forward`, then the number of each step.
        on_step: called at the start and after each call of the network.
        should_stop: asked before each call of the network.

    Returns:
        [N, C, H, W] float32, same device; may leave [0, 1].

    Raises:
        ModelError: the noise of t is more than the denoiser was trained for.
        Stopped: `should_stop` said so.

    References:
        Song et al., Score-Based Generative Modeling through Stochastic Differential Equations, ICLR 2021,
        https://arxiv.org/abs/2011.13456
    """
    times = [t + (_END - t) * step / steps for step in range(steps + 1)]
    z = mix_noise(x, torch.tensor(vp_abar(t), dtype=torch.float64), noise)
    if on_step:
        on_step(ImageStep(0, steps, images=(z + 1) / 2))
    for step, (now, following) in enumerate(pairwise(times), start=1):
        check_stop(should_stop)
        abar = vp_abar(now)
        sigma = max(abar_to_sigma(abar), denoiser.sigma_min)
        x0 = denoiser.denoise((z / math.sqrt(abar) + 1) / 2, z.new_full((len(z),), sigma))
        score = (math.sqrt(abar) * (2 * x0 - 1) - z) / (1 - abar)
        passed = (now - following) * vp_beta(now)
        z = z + passed * (z / 2 + score) + math.sqrt(passed) * noise.normal(z, step)
        if on_step:
            on_step(ImageStep(step, steps, images=(z + 1) / 2, denoised=x0))
    return (z + 1) / 2
