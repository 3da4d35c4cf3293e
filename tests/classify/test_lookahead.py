"""Lookahead against the two lines of the paper, written out for every number."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unpoison.classify.optimisers import Lookahead


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
