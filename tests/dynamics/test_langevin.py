"""Langevin dynamics against the closed form of its chain on a quadratic energy."""

from __future__ import annotations

import pytest
import torch

from unpoison.core.noise import Noise
from unpoison.dynamics.langevin import drift_factor, langevin
from unpoison.dynamics.steps import Stopped
from unpoison.nets.energy import SnganEnergy

STIFFNESS, CENTRE = 0.2, 0.3


def bowl(x):
    """Energy 0.2 / 2 |x - 0.3|^2 of each image."""
    return STIFFNESS / 2 * (x - CENTRE).square().flatten(1).sum(dim=1)


def noise_for(count: int, seed: int = 0) -> Noise:
    return Noise(seed, "test", [str(row) for row in range(count)])


class NoNoise:
    def normal(self, like, step):
        return torch.zeros_like(like)


def test_the_factor_of_the_gradient():
    assert drift_factor(1.25e-2, 1e-4) == pytest.approx(0.78125)
    x = torch.full((1, 3, 4, 4), 0.5)
    moved = langevin(x, lambda x: x.flatten(1).sum(dim=1), steps=1, noise=NoNoise())
    torch.testing.assert_close(moved, x - 0.78125)
    moved = langevin(x, lambda x: x.flatten(1).sum(dim=1), steps=2, step_size=0.1, temperature=0.02, noise=NoNoise())
    torch.testing.assert_close(moved, x - 2 * 0.25)


@pytest.mark.parametrize("steps", [1, 5, 150])
def test_mean_and_variance_are_those_of_the_chain(steps):
    # x' - c = (1 - a) (x - c) + step_size z; after 150 steps of a = 0.156 the chain is stationary.
    start, step_size, kept = 0.9, 1.25e-2, 1 - 0.78125 * STIFFNESS
    x = torch.full((40, 3, 16, 16), start)
    moved = langevin(x, bowl, steps=steps, noise=noise_for(40))
    mean = CENTRE + kept**steps * (start - CENTRE)
    variance = step_size**2 * (1 - kept ** (2 * steps)) / (1 - kept**2)
    assert moved.mean().item() == pytest.approx(mean, abs=4 * (variance / moved.numel()) ** 0.5)
    assert moved.var().item() == pytest.approx(variance, rel=4 * (2 / moved.numel()) ** 0.5)
    if steps == 150:
        assert variance == pytest.approx(step_size**2 / (1 - kept**2), rel=1e-9)


def test_every_step_has_noise_of_its_own_and_so_has_every_image():
    moved = langevin(torch.zeros(2, 3, 8, 8), lambda x: 0 * x.flatten(1).sum(dim=1), steps=3, noise=noise_for(2))
    noise = noise_for(2)
    expected = 1.25e-2 * sum(noise.normal(moved, step) for step in (1, 2, 3))
    torch.testing.assert_close(moved, expected)
    alone = langevin(torch.zeros(1, 3, 8, 8), bowl, steps=3, noise=Noise(0, "test", ["1"]))
    both = langevin(torch.zeros(2, 3, 8, 8), bowl, steps=3, noise=noise_for(2))
    assert torch.equal(alone[0], both[1])
    assert not torch.equal(both[0], both[1])


def test_works_in_inference_mode_and_leaves_its_input():
    outside = langevin(torch.full((2, 3, 8, 8), 0.5), bowl, steps=4, noise=noise_for(2))
    with torch.inference_mode():
        x = torch.full((2, 3, 8, 8), 0.5)
        inside = langevin(x, bowl, steps=4, noise=noise_for(2))
        assert torch.is_inference_mode_enabled()
    assert torch.equal(inside, outside)
    assert torch.equal(x, torch.full((2, 3, 8, 8), 0.5))


def test_gradients_reach_the_pixels_alone_and_the_graph_is_not_kept():
    net = SnganEnergy(4)
    seen = []

    def energy(x):
        seen.append(x.is_leaf and x.requires_grad)
        return net(x)

    x = torch.zeros(2, 3, 8, 8, requires_grad=True)
    moved = langevin(x, energy, steps=3, noise=noise_for(2))
    assert seen == [True] * 3
    assert not moved.requires_grad
    assert x.grad is None
    assert all(parameter.grad is None for parameter in net.parameters())


def test_each_step_tells_the_mean_energy_before_it():
    told = []
    x = torch.full((2, 3, 4, 4), 0.5)
    langevin(x, bowl, steps=2, noise=noise_for(2), on_step=told.append)
    assert [(info.step, info.total) for info in told] == [(0, 2), (1, 2), (2, 2)]
    assert told[1].values["energy"] == pytest.approx(bowl(x).mean().item())
    assert told[2].values["energy"] < told[1].values["energy"]


def test_a_chain_shows_what_shorter_chains_give():
    x, seen = torch.full((2, 3, 8, 8), 0.5), {}
    whole = langevin(x, bowl, steps=7, noise=noise_for(2), on_step=lambda info: seen.update({info.step: info.images}))
    assert torch.equal(seen[0], (x + 1) / 2), "in [0, 1] units"
    assert torch.equal(seen[3], (langevin(x, bowl, steps=3, noise=noise_for(2)) + 1) / 2)
    assert torch.equal(seen[7], (whole + 1) / 2)


def test_a_chain_stops_between_two_steps():
    told = []
    with pytest.raises(Stopped):
        langevin(
            torch.zeros(2, 3, 8, 8),
            bowl,
            steps=7,
            noise=noise_for(2),
            on_step=told.append,
            should_stop=lambda: len(told) == 3,
        )
    assert [info.step for info in told] == [0, 1, 2]
