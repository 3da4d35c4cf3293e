from __future__ import annotations

import pytest
import torch

from unpoison.core.noise import Noise, Window
from unpoison.dynamics.fields import CELLS, ColouredNoise, smooth_field


def draw(count=4000, height=32, width=32) -> torch.Tensor:
    source = torch.Generator().manual_seed(0)
    nodes = [torch.randn(count, 2, height // cell + 1, width // cell + 1, generator=source) for cell in CELLS]
    return smooth_field(nodes, height=height, width=width)


def test_variance_is_one_at_every_pixel():
    variance = draw().var(dim=0)
    assert variance.mean().item() == pytest.approx(1, abs=0.01)
    assert variance.min() > 0.85
    assert variance.max() < 1.15


def test_neighbours_agree_and_far_pixels_do_not():
    field = draw()[:, 0]
    near = (field[:, 8, 8] * field[:, 8, 9]).mean().item()
    far = (field[:, 0, 0] * field[:, 31, 31]).mean().item()
    assert near > 0.9
    assert abs(far) < 0.06


def test_one_node_by_hand():
    """A single smooth node of the coarsest grid: a hat, scaled so that variances add up to one."""
    nodes = [torch.zeros(1, 2, 32 // cell + 1, 2) for cell in CELLS]
    nodes[-1][0, 0, 1] = 1  # both columns of node row 1, at pixel row 16
    column = smooth_field(nodes, height=32, width=1)[0, 0, :, 0]
    share = (torch.arange(16) + 0.5) / 16  # the two equal columns weigh (1 - s, s) over their norm: 1 over it
    rising = share / (share**2 + (1 - share) ** 2).sqrt()
    norm = ((0.5 / 16) ** 2 + (1 - 0.5 / 16) ** 2) ** 0.5
    torch.testing.assert_close(column[:16], rising / norm / 6**0.5, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(column[16:], column[:16].flip(0), rtol=1e-5, atol=1e-5)


def test_channels_and_images_are_independent():
    noise = ColouredNoise(Noise(0, "test", [str(row) for row in range(500)]), 3.0)
    field = noise.normal(torch.empty(500, 3, 32, 32), "forward").flatten(2).mean(dim=2)
    correlation = torch.corrcoef(field.T)
    assert (correlation - torch.eye(3)).abs().max() < 0.2


def test_ratio_zero_is_white_and_others_add_to_it():
    white = Noise(0, "test", ["a", "b"])
    like = torch.empty(2, 3, 32, 32)
    assert torch.equal(ColouredNoise(white, 0.0).normal(like, "forward"), white.normal(like, "forward"))
    one, two = (ColouredNoise(white, ratio).normal(like, "forward") for ratio in (1.0, 2.0))
    torch.testing.assert_close(two - one, one - white.normal(like, "forward"), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(96, 80), (400, 320)])
def test_a_window_has_its_part_of_the_whole(height, width):
    whole = ColouredNoise(Noise(0, "test", ["a"]), 2.0).normal(torch.empty(1, 3, height, width), "forward")
    top, left, size = 32, 48, 32
    window = Noise(0, "test", ["a"], window=Window(top, left, height, width))
    part = ColouredNoise(window, 2.0).normal(torch.empty(1, 3, size, size), "forward")
    torch.testing.assert_close(part, whole[..., top : top + size, left : left + size], rtol=1e-4, atol=1e-5)
