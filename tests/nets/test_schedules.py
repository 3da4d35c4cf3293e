import math

import pytest
import torch

from unpoison.core.errors import ModelError
from unpoison.nets.schedules import (
    Schedule,
    abar_at,
    abar_to_sigma,
    cosine_abar,
    index_at,
    linear_abar,
    sigma_to_abar,
)

# Noise of ECLIPSE's t on [0, 1] images, from the table in its specification.
ECLIPSE_SIGMAS = {25: 0.0092, 50: 0.0147, 100: 0.0250, 132: 0.0314, 150: 0.0350, 200: 0.0449, 226: 0.0500, 330: 0.0707}


@pytest.mark.parametrize(("t", "sigma"), ECLIPSE_SIGMAS.items())
def test_cosine_gives_the_stored_noise(t, sigma):
    assert float(abar_to_sigma(cosine_abar()[t - 1])) == pytest.approx(sigma, abs=5.1e-5)


@pytest.mark.parametrize(("t", "abar"), [(50, 0.999135), (100, 0.997513), (150, 0.995136)])
def test_cosine_gives_the_stored_abar(t, abar):
    assert float(cosine_abar()[t - 1]) == pytest.approx(abar, abs=5e-7)


@pytest.mark.parametrize(("index", "sigma"), [(1159, 0.25), (1985, 0.5), (2810, 1.0)])
def test_cosine_gives_the_indices_of_carlini(index, sigma):
    # Theirs come from a counting loop and lie up to two above the exact place.
    assert float(index_at(cosine_abar(), torch.tensor([sigma_to_abar(sigma)]))) == pytest.approx(index, abs=2)


@pytest.mark.parametrize(("t", "sigma_255"), [(15, 7.6), (75, 32.5), (25, 11.8), (50, 22.0), (100, 43), (150, 66)])
def test_linear_gives_the_stored_noise(t, sigma_255):
    assert 255 * float(abar_to_sigma(linear_abar()[t - 1])) == pytest.approx(sigma_255, rel=0.01)


@pytest.mark.parametrize("abar", [cosine_abar(4000), cosine_abar(50), linear_abar(1000), linear_abar(10)])
def test_beta_stays_in_bounds(abar):
    beta = 1 - abar / torch.cat([torch.ones(1, dtype=torch.float64), abar[:-1]])
    assert abar.dtype == torch.float64
    assert float(beta.min()) > 0
    assert float(beta.max()) < 0.999 + 1e-9


def test_cosine_is_the_written_formula():
    def left(u):
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    product, steps = 1.0, 37
    for index, level in enumerate(cosine_abar(steps).tolist()):
        product *= 1 - min(1 - left((index + 1) / steps) / left(index / steps), 0.999)
        assert level == pytest.approx(product, rel=1e-12)


@pytest.mark.parametrize("abar", [cosine_abar(), linear_abar()])
def test_index_is_found_again(abar):
    index = torch.rand(500, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * (len(abar) - 1)
    assert torch.allclose(index_at(abar, abar_at(abar, index)), index, rtol=0, atol=1e-8)
    whole = torch.arange(len(abar), dtype=torch.float64)
    assert torch.allclose(abar_at(abar, whole), abar, rtol=1e-12)
    assert torch.allclose(index_at(abar, abar), whole, rtol=0, atol=1e-8)


def test_between_two_indices_log_snr_is_linear():
    abar = cosine_abar()
    middle = abar_at(abar, torch.tensor([99.25]))
    low, high = (math.log(level / (1 - level)) for level in abar[[99, 100]].tolist())
    assert math.log(float(middle / (1 - middle))) == pytest.approx(0.75 * low + 0.25 * high, rel=1e-12)


def test_levels_outside_go_to_the_ends():
    abar = cosine_abar()[:100]
    assert index_at(abar, torch.tensor([1.0, 0.5], dtype=torch.float64)).tolist() == [0, 99]


def test_sigma_and_abar_are_inverse():
    assert abar_to_sigma(sigma_to_abar(0.1)) == pytest.approx(0.1)


@pytest.mark.parametrize(("name", "steps"), [("sigmoid", 1000), ("cosine", 0), ("linear", 10**9)])
def test_unknown_schedule_is_refused(name, steps):
    with pytest.raises(ModelError, match="schedule"):
        Schedule(name, steps)
