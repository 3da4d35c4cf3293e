"""Lookahead against the two lines of the paper, written out for every number; rates as published."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unpoison.classify.classifier import build_net
from unpoison.classify.optimisers import Lookahead, build_optimiser, rate_factor
from unpoison.classify.settings import TrainSettings, scratch_settings
from unpoison.classify.training import learning_parameters


def test_against_a_slow_loop():
    torch_net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    slow = [value.flatten().tolist() for value in torch_net.state_dict().values()]
    lookahead = Lookahead(torch_net, every=1)
    source = torch.Generator().manual_seed(0)
    for keep in (0.3, 0.9, 1.0):
        with torch.no_grad():
            for value in torch_net.state_dict().values():
                if value.is_floating_point():
                    value.add_(torch.randn(value.shape, generator=source))
                else:
                    value.add_(1)
        fast = [value.flatten().tolist() for value in torch_net.state_dict().values()]
        lookahead.update(keep=keep)
        for index, value in enumerate(torch_net.state_dict().values()):
            if value.is_floating_point():
                slow[index] = [keep * s + (1 - keep) * f for s, f in zip(slow[index], fast[index], strict=True)]
                assert value.flatten().tolist() == pytest.approx(slow[index], abs=1e-6)
            else:
                assert value.flatten().tolist() == fast[index]  # steps are counted on


def test_it_starts_from_the_weights_of_the_net():
    net = nn.Linear(2, 1)
    before = net.weight.clone()
    lookahead = Lookahead(net, every=1)
    with torch.no_grad():
        net.weight += 1
    lookahead.update(keep=1.0)
    assert torch.equal(net.weight, before)


def test_it_is_time_every_few_steps_and_the_last_step_ends_on_the_slow_weights(monkeypatch):
    kept = []
    monkeypatch.setattr(Lookahead, "update", lambda self, *, keep: kept.append(keep))
    lookahead = Lookahead(nn.Linear(2, 1), every=2)
    for done in range(1, 8):
        lookahead.step(done, 7)
    assert kept == pytest.approx([0.95**2 * (done / 7) ** 3 for done in (2, 4, 6)] + [1.0])


def test_biases_of_normalisation_learn_faster_and_decay_as_the_others():
    """One step of SGD from known gradients: the rate is scaled, rate times decay is not."""
    net = build_net("airbench94", classes=3, width=4, seed=0)
    settings = TrainSettings(learning_rate=0.1, momentum=0.0, nesterov=False, weight_decay=0.5, bias_scaler=10)
    with torch.no_grad():
        net.group1.norm1.bias.fill_(1.0)
        net.linear.weight.fill_(1.0)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    build_optimiser(learning_parameters(net, settings), settings).step()
    assert net.group1.norm1.bias[0].item() == pytest.approx(1 - 0.1 * 10 - 0.1 * 0.5)
    assert net.linear.weight[0, 0].item() == pytest.approx(1 - 0.1 - 0.1 * 0.5)


def test_rates_move_as_published():
    triangle = [rate_factor(TrainSettings(schedule="triangle"), step, 100) for step in range(101)]
    assert [triangle[step] for step in (0, 23, 100)] == pytest.approx([0.2, 1, 0.07])
    assert max(triangle) == triangle[23]
    assert triangle[50] - triangle[51] == pytest.approx(0.93 / 77)
    cosine = [rate_factor(TrainSettings(schedule="cosine"), step, 100) for step in (0, 25, 50, 100)]
    assert cosine == pytest.approx([1, 0.5 + 0.125**0.5, 0.5, 0], abs=1e-9)
    eighty = scratch_settings(profiles=["puregen", "puregen-80-epoch"])
    factors = [rate_factor(eighty, step, 800) for step in (0, 299, 300, 499, 500, 699, 700)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01, 1e-3])
    assert rate_factor(TrainSettings(schedule="one-cycle"), 60, 100) == pytest.approx(0.5)


def test_one_cycle_rises_then_falls_to_nothing():
    factors = [rate_factor(TrainSettings(schedule="one-cycle"), step, 100) for step in range(101)]
    assert factors[0] == pytest.approx(0.2)
    assert max(factors) == factors[20] == pytest.approx(1)
    assert factors[60] == pytest.approx(0.5)
    assert factors[100] == 0
    assert {rate_factor(TrainSettings(schedule="constant"), step, 100) for step in range(100)} == {1.0}
