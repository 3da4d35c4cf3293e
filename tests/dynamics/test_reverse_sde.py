"""The reverse differential equation, against data for which everything is known."""

from __future__ import annotations

import pytest
import torch

from unpoison.core.errors import ModelError
from unpoison.core.noise import Noise
from unpoison.dynamics.reverse_sde import reverse_sde
from unpoison.dynamics.steps import Stopped
from unpoison.nets.denoiser import CallableDenoiser
from unpoison.nets.schedules import abar_to_sigma, linear_abar, vp_abar, vp_beta

MEAN, SPREAD = 0.4, 0.2  # data: N(MEAN, SPREAD^2) at every pixel, in [0, 1] units


def wiener(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """The best denoiser of such data."""
    noise = (sigma**2).view(-1, 1, 1, 1)
    return (SPREAD**2 * x + noise * MEAN) / (SPREAD**2 + noise)


@pytest.fixture
def data() -> torch.Tensor:
    return MEAN + SPREAD * torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def walk(
    x: torch.Tensor, *, sigma_min: float = 1e-4, sigma_max: float = 2.0, steps: int = 100, t: float = 0.1, **hooks
):
    denoiser = CallableDenoiser(wiener, sigma_min, sigma_max)
    return reverse_sde(x, denoiser, t=0.1, steps=steps, noise=Noise(0, "test", "abcdefgh"), **hooks)


@pytest.mark.parametrize(("t", "abar", "sigma_255"), [(0.06, 0.959, 26), (0.075, 0.9385, 33), (0.1, 0.8963, 43)])
def test_the_schedule_is_the_published_one(t, abar, sigma_255):
    assert vp_abar(t) == pytest.approx(abar, abs=5e-4)
    assert 255 * abar_to_sigma(vp_abar(t)) == pytest.approx(sigma_255, abs=0.5)
    assert vp_beta(t) == pytest.approx((vp_abar(t - 1e-6) - vp_abar(t + 1e-6)) / 2e-6 / vp_abar(t), rel=1e-5)


def test_the_linear_schedule_is_its_cut_into_steps():
    closed = torch.tensor([vp_abar((index + 1) / 1000) for index in range(1000)], dtype=torch.float64)
    assert (linear_abar(1000) - closed).abs().max() < 2e-3


def test_a_round_trip_draws_from_the_data_again(data):
    again = walk(data)
    assert again.mean().item() == pytest.approx(MEAN, abs=0.005)
    assert again.std().item() == pytest.approx(SPREAD, rel=0.02)
    # What is drawn is new given the noisy image, which the probability flow, the square root of this, is not.
    sigma = abar_to_sigma(vp_abar(0.1))
    kept = torch.corrcoef(torch.stack([data.flatten(), again.flatten()]))[0, 1].item()
    assert kept == pytest.approx(SPREAD**2 / (SPREAD**2 + sigma**2), abs=0.02)


def test_below_its_smallest_noise_a_denoiser_is_told_that_one(data):
    coarse, fine = walk(data, sigma_min=2 / 255), walk(data)
    assert 0 < (coarse - fine).abs().max() < 1 / 255
    with pytest.raises(ModelError, match="outside what the model was trained for"):
        walk(data, sigma_max=0.1)


def test_one_call_a_step_and_none_after_a_stop(data):
    seen: list = []
    walked = walk(data, steps=7, on_step=seen.append)
    assert [info.step for info in seen] == list(range(8))
    assert torch.equal(seen[-1].images, walked)
    assert torch.equal(walked, walk(data, steps=7))
    with pytest.raises(Stopped):
        walk(data, should_stop=lambda: True)
