"""Early learning: what was put in to be learned is learned first."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from unpoison.auditing.evidence.protocol import Evidence
from unpoison.auditing.probes import Reading
from unpoison.auditing.views import View

_PASSES = 2
_BATCH = 50
_RATE = 2e-3


def measure(view: View) -> Evidence:
    """How well a small network names pictures that it has not seen in its first pass, and what it has learned by then.

    References:
        Jiang et al., Unlearnable examples detection via iterative filtering, 2024.
    """
    labels = torch.from_numpy(view.labels[view.fitted]).long()
    pixels = view.pixels(view.fitted).sub_(0.5).contiguous(memory_format=torch.channels_last)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _network(view.classes)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch lists no such form
    optimiser = torch.optim.AdamW(network.parameters(), _RATE)
    scores = torch.zeros(_PASSES, len(labels), view.classes)
    order = torch.Generator().manual_seed(0)
    for number in range(_PASSES):
        for rows in torch.randperm(len(labels), generator=order).split(_BATCH):
            named = network(pixels[rows])
            scores[number, rows] = named.detach()
            loss = F.cross_entropy(named, labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    values = {
        f"pass_{number + 1}": Reading(scores[number].numpy(), labels.numpy()).advantage for number in range(_PASSES)
    }
    return Evidence(values)


def _network(classes: int) -> nn.Module:
    layers: list[nn.Module] = []
    width = 3
    for wider in (24, 48, 96):
        layers += [nn.Conv2d(width, wider, 3, padding=1, bias=False), nn.BatchNorm2d(wider), nn.ReLU(), nn.MaxPool2d(2)]
        width = wider
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))
