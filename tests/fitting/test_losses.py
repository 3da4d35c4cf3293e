"""The losses against a slow implementation, written value by value from the equations."""

from __future__ import annotations

import math

import pytest
import torch

from unpoison.fitting.losses import LOSSES, epsilon_loss, hybrid_loss, log_likelihood
from unpoison.nets.schedules import cosine_abar

STEPS = 4000


def slow_bound(predicted: float, v: float, x0: float, epsilon: float, i: int, abar: list[float]) -> float:
    """The variational term of one value in bits, with both posterior means written out."""

    def posterior(clean, z, i):
        before = abar[i - 1] if i else 1.0
        beta = 1 - abar[i] / before
        return (
            beta * math.sqrt(before) / (1 - abar[i]) * clean + (1 - before) * math.sqrt(1 - beta) / (1 - abar[i]) * z,
            beta,
            beta * (1 - before) / (1 - abar[i]),
        )

    z = math.sqrt(abar[i]) * x0 + math.sqrt(1 - abar[i]) * epsilon
    true_mean, beta, small = posterior(x0, z, i)
    if i == 0:
        small = posterior(0.0, 0.0, 1)[2]
    mean = posterior((z - math.sqrt(1 - abar[i]) * predicted) / math.sqrt(abar[i]), z, i)[0]
    r = (v + 1) / 2
    log_variance = r * math.log(beta) + (1 - r) * math.log(small)
    if i == 0:
        return -slow_likelihood(x0, mean, 0.5 * log_variance) / math.log(2)
    nats = 0.5 * (
        -1
        + log_variance
        - math.log(small)
        + math.exp(math.log(small) - log_variance)
        + (true_mean - mean) ** 2 * math.exp(-log_variance)
    )
    return nats / math.log(2)


def slow_likelihood(x: float, mean: float, log_deviation: float) -> float:
    def below(value):
        return 0.5 * (1 + math.erf((value - mean) / math.exp(log_deviation) / math.sqrt(2)))

    upper = 1.0 if x > 0.999 else below(x + 1 / 255)
    lower = 0.0 if x < -0.999 else below(x - 1 / 255)
    return math.log(max(upper - lower, 1e-12))


def make_case(indices):
    random = torch.Generator().manual_seed(3)
    shape = (len(indices), 3, 2, 2)
    clean = torch.randint(0, 256, shape, generator=random) / 127.5 - 1
    clean[:, 0, 0, 0], clean[:, 1, 0, 0] = -1, 1
    epsilon = torch.randn(shape, generator=random)
    output = torch.cat(
        [epsilon + 0.3 * torch.randn(shape, generator=random), torch.randn(shape, generator=random)], dim=1
    )
    return output, clean, epsilon, torch.tensor(indices), cosine_abar(STEPS)


@pytest.mark.parametrize("index", [0, 1, 2, 99, 1985, 3998, 3999])
def test_hybrid_equals_the_slow_one(index):
    output, clean, epsilon, indices, abar = make_case([index])
    predicted, v = output.double().chunk(2, dim=1)
    values = zip(*(part.flatten().tolist() for part in (predicted, v, clean.double(), epsilon.double())), strict=True)
    bits = [slow_bound(*value, index, abar.tolist()) for value in values]
    expected = (predicted - epsilon).square().mean().item() + STEPS / 1000 * sum(bits) / len(bits)
    assert hybrid_loss(output, clean, epsilon, indices, abar).item() == pytest.approx(expected, rel=2e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_a_mixed_batch_is_its_images(name):
    output, clean, epsilon, indices, abar = make_case([0, 5, 0, 3000])
    whole = LOSSES[name](output, clean, epsilon, indices, abar)
    parts = [
        LOSSES[name](output[i : i + 1], clean[i : i + 1], epsilon[i : i + 1], indices[i : i + 1], abar)
        for i in range(4)
    ]
    assert whole.shape == (4,)
    torch.testing.assert_close(whole, torch.cat(parts))


def test_the_bound_moves_v_alone():
    output, clean, epsilon, indices, abar = make_case([0, 5, 3000])
    output.requires_grad_()
    gradients = [
        torch.autograd.grad(loss(output, clean, epsilon, indices, abar).sum(), output)[0]
        for loss in (epsilon_loss, hybrid_loss)
    ]
    torch.testing.assert_close(gradients[0][:, :3], gradients[1][:, :3])
    assert gradients[0][:, 3:].abs().max() == 0
    assert gradients[1][:, 3:].abs().min() > 0


def test_probabilities_of_all_levels_sum_to_one():
    levels = torch.arange(256) / 127.5 - 1
    total = log_likelihood(levels, torch.full((256,), 0.2), torch.full((256,), -1.0)).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-4)
