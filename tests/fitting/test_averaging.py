from __future__ import annotations

import pytest
import torch
from torch import nn

from unpoison.fitting.averaging import WeightAverage, decay_at


def test_decay_without_warmup_is_constant():
    assert [decay_at(step, decay=0.9999, warmup=False) for step in (0, 1, 10**6)] == [0.9999] * 3


def test_decay_with_warmup_follows_the_formula():
    assert decay_at(0, decay=0.999, warmup=True) == pytest.approx(1 / 10)
    assert decay_at(90, decay=0.999, warmup=True) == pytest.approx(91 / 100)
    assert decay_at(10**6, decay=0.999, warmup=True) == 0.999


@pytest.mark.parametrize("warmup", [False, True])
def test_average_equals_the_recursion(warmup):
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    average, expected = WeightAverage(net, decay=0.5, warmup=warmup), 0.0
    for step in range(8):
        nn.init.constant_(net.weight, step + 1.0)
        average.update(net, step)
        keep = decay_at(step, decay=0.5, warmup=warmup)
        expected = keep * expected + (1 - keep) * (step + 1)
    assert average.weights["weight"].item() == pytest.approx(expected)
    assert net.weight.item() == 8


def test_average_does_not_share_memory_with_the_net():
    net = nn.Linear(2, 2)
    before = WeightAverage(net, decay=0.9, warmup=False)
    kept = before.weights["weight"].clone()
    with torch.no_grad():
        net.weight.add_(1)
    torch.testing.assert_close(before.weights["weight"], kept)
