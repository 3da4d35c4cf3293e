"""The formulas of the theory, against values known without them."""

from __future__ import annotations

import pytest
import torch

from unpoison.auditing.formulas import (
    bands,
    bounded_sigma,
    class_means,
    energy_ratio,
    kl_bound,
    mean_square,
    noise_error,
    residual_ratio,
    snr,
    training_bound,
)
from unpoison.core.noise import Noise
from unpoison.nets.denoiser import CallableDenoiser
from unpoison.nets.schedules import abar_to_sigma, cosine_abar


@pytest.fixture
def difference() -> torch.Tensor:
    return torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(0)) / 50


@pytest.mark.parametrize(("t", "expected"), [(50, 1155), (100, 401), (150, 205)])
def test_snr_is_that_of_the_schedule_and_twice_it_bounds_what_differs_by_a_length_of_one(t, expected):
    abar = float(cosine_abar(4000)[t - 1])
    assert round(snr(abar)) == expected
    assert kl_bound(1.0, abar_to_sigma(abar)) == pytest.approx(2 * snr(abar))


def test_the_bound_is_the_divergence_of_two_gaussians_a_perturbation_apart(difference):
    sigma = 0.1
    one = torch.distributions.Normal(torch.zeros_like(difference), sigma)
    other = torch.distributions.Normal(difference, sigma)
    divergence = torch.distributions.kl_divergence(other, one).flatten(1).sum(dim=1).mean()
    bound = kl_bound(mean_square(difference), sigma)
    assert bound == pytest.approx(float(divergence), rel=1e-4)
    assert kl_bound(mean_square(difference), bounded_sigma(mean_square(difference), bound)) == pytest.approx(bound)


def test_training_sees_no_colour_in_grey():
    grey = torch.full((2, 3, 4, 4), 100 / 255)
    colour = grey + torch.tensor([0, 0, 1 / 255]).view(1, 3, 1, 1)  # a level of blue changes no grey value
    whole = kl_bound(mean_square(colour - grey), 0.05)
    assert training_bound(colour, grey, grey=0.0, sigma=0.05) == pytest.approx(whole)
    assert training_bound(colour, grey, grey=0.4, sigma=0.05) == pytest.approx(0.6 * whole)


def test_no_perturbation_gives_zeros():
    nothing = torch.zeros(4, 3, 8, 8)
    assert mean_square(nothing) == kl_bound(0.0, 0.1) == bounded_sigma(0.0, 1.0) == 0
    assert residual_ratio(nothing, nothing) == energy_ratio(nothing, nothing) == 0
    assert training_bound(nothing, nothing, grey=0.4, sigma=0.05) == 0
    assert not any(band.any() for band in bands(nothing).values())


def test_what_stays_whole_has_a_ratio_of_one_and_what_is_across_none(difference):
    across = torch.randn(difference.shape, generator=torch.Generator().manual_seed(1))
    across -= residual_ratio(across, difference) * difference
    assert residual_ratio(difference, difference) == pytest.approx(1)
    assert residual_ratio(0.3 * difference + across, difference) == pytest.approx(0.3, abs=1e-5)
    assert energy_ratio(0.5 * difference, difference) == pytest.approx(0.25)


def test_bands_take_every_frequency_once(difference):
    parts = bands(difference)
    assert sum(float(part.abs().square().sum()) for part in parts.values()) == pytest.approx(
        float(difference.square().sum()), rel=1e-5
    )
    board = torch.ones(1, 1, 8, 8)
    board[:, :, ::2, ::2] = board[:, :, 1::2, 1::2] = -1
    for picture, name in ((board, "fine"), (torch.ones(1, 1, 8, 8), "coarse")):
        assert energy_ratio(bands(picture)[name], picture) == pytest.approx(1)
    assert residual_ratio(bands(difference)["fine"] / 2, parts["fine"]) == pytest.approx(0.5)


def test_means_of_classes_keep_what_a_class_has_in_common(difference):
    labels = torch.arange(12) % 2
    common = torch.stack([difference[0], difference[1]])[labels]
    assert torch.allclose(class_means(common, labels), common)
    own = energy_ratio(class_means(difference, labels), difference)
    assert 0.05 < own < 0.35  # about one in six, the size of a class, of what each picture has of its own


def test_a_denoiser_that_does_nothing_misses_all_noise_and_one_that_knows_the_picture_none(difference):
    images, noise = difference + 0.5, Noise(0, "test", [str(row) for row in range(12)])
    nothing = CallableDenoiser(lambda x, sigma: x, 0.01, 1.0)
    knows = CallableDenoiser(lambda x, sigma: images, 0.01, 1.0)
    assert noise_error(images, nothing, sigma=0.1, noise=noise) == pytest.approx(1, abs=0.1)
    assert noise_error(images, knows, sigma=0.1, noise=noise) == pytest.approx(0, abs=1e-9)
    other = noise_error(images + 0.02, knows, sigma=0.1, noise=noise)
    assert other == pytest.approx(0.04, rel=1e-3)  # the square of what it took for noise, over that of the noise
