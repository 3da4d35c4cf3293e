"""PureGen's round trip, against the formulas pixel by pixel."""

from __future__ import annotations

import math

import pytest
import torch

from unpoison.core.errors import ModelError, SettingsError
from unpoison.core.noise import Noise
from unpoison.dynamics.forward_reverse import forward_reverse, forward_sigma
from unpoison.dynamics.samplers import ancestral
from unpoison.nets.epsilon import EpsilonModel
from unpoison.nets.schedules import Schedule

NOISE = Noise(0, "test", ["a", "b"])


class Wave(torch.nn.Module):
    """A network whose answer depends on pixel and time, and that writes down the times it is asked for."""

    def __init__(self):
        super().__init__()
        self.times: list[float] = []

    def forward(self, z, time):
        self.times.append(float(time[0]))
        return torch.sin(3 * z) + 0.01 * time.view(-1, 1, 1, 1)


@pytest.fixture
def model() -> EpsilonModel:
    return EpsilonModel(Wave(), schedule=Schedule("linear", 1000), max_index=249, learned_variance=False)


@pytest.fixture
def images():
    return torch.rand(2, 3, 3, 2, generator=torch.Generator().manual_seed(0))


def restore_slowly(value: float, t: int, draws: list[float], *, forward: bool = True) -> float:
    """One pixel through section 1.2 of the specification, in double precision; `draws` are the noises in order."""
    beta = [1e-4 + (0.02 - 1e-4) * i / 999 for i in range(1000)]
    abar = [math.prod(1 - b for b in beta[: i + 1]) for i in range(1000)]
    draws = list(draws)
    z = 2 * value - 1
    if forward:
        z = math.sqrt(abar[t]) * z + math.sqrt(1 - abar[t]) * draws.pop(0)
    for i in range(t - 1, -1, -1):
        epsilon = math.sin(3 * z) + 0.01 * i
        x0 = min(1, max(-1, (z - math.sqrt(1 - abar[i]) * epsilon) / math.sqrt(abar[i])))
        before = abar[i - 1] if i else 1.0
        mean = math.sqrt(before) * beta[i] / (1 - abar[i]) * x0
        mean += math.sqrt(1 - beta[i]) * (1 - before) / (1 - abar[i]) * z
        z = mean if i == 0 else mean + math.sqrt(beta[i] * (1 - before) / (1 - abar[i])) * draws.pop(0)
    return (z + 1) / 2


@pytest.mark.parametrize("reverse_only", [False, True])
def test_it_is_the_slow_loop(model, images, reverse_only):
    t = 6
    restored = forward_reverse(images, model, t=t, reverse_only=reverse_only, noise=NOISE)
    keys = [*([] if reverse_only else ["forward"]), *range(t - 1, 0, -1)]
    draws = torch.stack([NOISE.normal(images, key) for key in keys])
    for place in torch.cartesian_prod(*(torch.arange(size) for size in images.shape)).tolist():
        slow = restore_slowly(
            images[tuple(place)].item(), t, draws[(slice(None), *place)].tolist(), forward=not reverse_only
        )
        assert restored[tuple(place)].item() == pytest.approx(slow, abs=2e-5)


def test_first_reverse_index_is_below_the_noise(model, images):
    seen = []
    forward_reverse(images, model, t=75, noise=NOISE, on_step=seen.append)
    assert model.net.times == list(range(74, -1, -1))
    assert (seen[-1].step, seen[-1].total) == (75, 75)
    # The only difference from ECLIPSE's walk is one index of noise.
    assert not torch.equal(forward_reverse(images, model, t=5, noise=NOISE), ancestral(images, model, t=5, noise=NOISE))


def test_strided_calls_keep_both_ends(model, images):
    forward_reverse(images, model, t=75, steps=3, noise=NOISE)
    assert model.net.times == [74, 37, 0]
    with pytest.raises(SettingsError, match="steps=76"):
        forward_reverse(images, model, t=75, steps=76, noise=NOISE)


def test_known_strengths(model):
    levels = {75: (0.9683, 0.2498), 125: (0.9187, 0.3950), 249: (0.7239, 0.6899)}
    for t, (image, noise) in levels.items():
        assert forward_sigma(model, t=t) == pytest.approx(noise / image / 2, rel=3e-4)


def test_it_goes_no_further_than_the_model(model, images):
    forward_reverse(images, model, t=250, steps=1, noise=NOISE)
    assert model.net.times == [249]
    with pytest.raises(SettingsError, match="t=251 is outside what the model was trained for, 1 to 250"):
        forward_reverse(images, model, t=251, noise=NOISE)
    with pytest.raises(ModelError, match="index 250"):
        model.predict(images, torch.full((2,), 250.0))
    whole = EpsilonModel(Wave(), schedule=Schedule("linear", 1000), learned_variance=False)
    with pytest.raises(SettingsError, match="t=1000: the schedule ends at index 999"):
        forward_sigma(whole, t=1000)
