"""PureGen's use of a diffusion model: noise an image part of the way, and restore it."""

from __future__ import annotations

from torch import Tensor

from unpoison.core.errors import SettingsError
from unpoison.dynamics.samplers import DrawsNoise, check_t, mix_noise, walk_back
from unpoison.dynamics.steps import OnImageStep, ShouldStop
from unpoison.nets.protocols import DiscreteModel
from unpoison.nets.schedules import abar_to_sigma


def forward_reverse(
    x: Tensor,
    model: DiscreteModel,
    *,
    t: int = 75,
    steps: int | None = None,
    reverse_only: bool = False,
    noise: DrawsNoise,
    on_step: OnImageStep | None = None,
    should_stop: ShouldStop | None = None,
) -> Tensor:
    """Noise to index t in one go, walk back from index t - 1: the image is one index noisier than the model is told.

    The walk is that of `ancestral`, with the predicted x0 clamped.

    Args:
        x: [N, C, H, W] float32, [0, 1] units, which it may leave; not changed.
        model: the network.
        t: T_DDPM of [1].
        steps: calls of the network, 1 to t; t if left out.
        reverse_only: leave the forward half out, and so restore the image as it is.
        noise: source of all noise, keyed by image; draws `forward`, then the index of each step but the last.
        on_step: called at the start and after each call of the network.
        should_stop: asked before each call of the network.

    Returns:
        [N, C, H, W] float32 in [0, 1], same device.

    Raises:
        SettingsError: t beyond what the model was trained for, or steps beyond t.
        Stopped: `should_stop` said so.

    References:
        [1] Bhat et al., PureGen: Universal Data Purification for Train-Time Poison Defense via Generative Model
        Dynamics, 2024, https://arxiv.org/abs/2405.18627
    """
    start = _forward_level(model, t)
    z = 2 * x - 1 if reverse_only else mix_noise(x, start, noise)
    walked = walk_back(z, model, t=t, steps=steps, noise=noise, on_step=on_step, should_stop=should_stop)
    return (walked + 1) / 2


def forward_sigma(model: DiscreteModel, *, t: int) -> float:
    """The noise that `forward_reverse` adds, in [0, 1] pixel units; times 255 it is 32.9 for t = 75 of linear-1000.

    Raises:
        SettingsError: t beyond what the model was trained for.
    """
    return abar_to_sigma(float(_forward_level(model, t)))


def _forward_level(model: DiscreteModel, t: int) -> Tensor:
    """abar_t. No network sees index t, so t may be the first that it was not trained for."""
    check_t(model, t)
    if t == len(model.abar):
        raise SettingsError(f"t={t}: the schedule ends at index {t - 1}; choose a smaller t")
    return model.abar[t]
