"""The network of D-VAE: shapes at any size, and the length of a description."""

from __future__ import annotations

import math

import pytest
import torch

from unpoison.nets.disentangling import DisentanglingVae, rate


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 10)])
def test_shapes(height, width):
    net = DisentanglingVae(classes=3, height=height, width_pixels=width, width=4).eval()
    x = torch.rand(2, 3, height, width)
    split = net(x, torch.tensor([0, 2]), torch.zeros(2, *net.grid))
    assert split.picture.shape == split.perturbation.shape == x.shape
    assert 0 <= split.picture.min() <= split.picture.max() <= 1


def test_the_class_is_told_to_the_perturbation_alone():
    net = DisentanglingVae(classes=2, height=8, width_pixels=8, width=4).eval()
    x = torch.rand(1, 3, 8, 8)
    one, other = (net(x, torch.tensor([label]), torch.zeros(1, *net.grid)) for label in (0, 1))
    assert torch.equal(one.picture, other.picture)
    assert not torch.equal(one.perturbation, other.perturbation)


def test_the_rate_is_the_divergence_of_two_gaussians():
    nothing = torch.zeros(2, 5, 3, 3)
    assert rate(nothing, nothing) == 0
    assert rate(nothing + 2, nothing).item() == pytest.approx(5 * 2**2 / 2)
    narrow = nothing + math.log(0.25)
    assert rate(nothing, narrow).item() == pytest.approx(5 * (0.25 - 1 - math.log(0.25)) / 2)
