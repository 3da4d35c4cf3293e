"""Small classifiers for perturbations that follow a network's gradient: random ones, half-trained and trained ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unpoison.fitting.networks import seeded

# Draws so many pictures [N, 3, S, S] in [0, 1], with the number of their class [N] or -1.
Pictures = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]

CLASSES = 10
_PRIME = 10_007  # remainders by it join classes as if at random
_STEPS = (20, 60, 150, 300)  # of training; networks take turns
_BATCH = 32
_RATE = 3e-3
_WIDTHS = (12, 16, 20)
_ACTIVATIONS: tuple[Callable[[Tensor], Tensor], ...] = (F.relu, F.silu, partial(F.leaky_relu, negative_slope=0.1))


class Victim(nn.Module):
    """Three to four convolutions, each normalised over the batch, the mean of the picture, a linear layer.

    Args:
        width: channels of the first; each further one has one and a half times as many.
        kernel: side of the first, in pixels.
        depth: convolutions.
        activation: what follows each.
        largest: halve the picture by taking the largest of four values, else their mean.
    """

    def __init__(self, *, width: int, kernel: int, depth: int, activation: Callable[[Tensor], Tensor], largest: bool):
        super().__init__()
        widths = [3, *(int(width * 1.5**place) for place in range(depth))]
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, kernel if a == 3 else 3, padding=kernel // 2 if a == 3 else 1, bias=False)
            for a, b in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels, track_running_stats=False) for channels in widths[1:])
        self.answer = nn.Linear(widths[-1], CLASSES)
        self.activation, self.largest = activation, largest

    def forward(self, images: Tensor) -> Tensor:
        """[N, 3, S, S] in [0, 1] to logits [N, CLASSES]."""
        x = 4 * images - 2
        for number, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            x = self.activation(norm(layer(x)))
            if number < 3:
                x = F.max_pool2d(x, 2) if self.largest else F.avg_pool2d(x, 2)
        logits: Tensor = self.answer(x.mean(dim=(2, 3)))
        return logits


def build_victim(random: torch.Generator) -> Victim:
    """A network of random shape and weights."""

    def pick(count: int) -> int:
        return int(torch.randint(count, (), generator=random))

    with seeded(int(torch.randint(2**31, (), generator=random)), "fit/victim", torch.device("cpu")):
        return Victim(
            width=_WIDTHS[pick(len(_WIDTHS))],
            kernel=(3, 5)[pick(2)],
            depth=3 + pick(2),
            activation=_ACTIVATIONS[pick(len(_ACTIVATIONS))],
            largest=bool(pick(2)),
        )


def train_victims(count: int, pictures: Pictures, random: torch.Generator) -> list[Victim]:
    """Networks trained for longer and longer, each on a task of its own."""
    tasks = (_name_classes, _name_layout, _name_turn)
    victims = []
    for number in range(count):
        victim = build_victim(random)
        task = tasks[number // len(_STEPS) % len(tasks)](pictures, random)
        _train(victim, task, _STEPS[number % len(_STEPS)], random)
        victims.append(victim.requires_grad_(False))
    return victims


Task = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]


def _name_classes(pictures: Pictures, random: torch.Generator) -> Task:
    """The classes of the pictures, joined at random to ten; of pictures without classes, their layout."""
    _, seen = pictures(512, random)
    if len(seen[seen >= 0].unique()) < 2:
        return _name_layout(pictures, random)
    factor, offset = torch.randint(1, _PRIME, (2,), generator=random).tolist()

    def draw(count: int, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        images, classes = pictures(count, chance)
        return images, (factor * classes + offset) % _PRIME % CLASSES

    return draw


def _name_layout(pictures: Pictures, random: torch.Generator) -> Task:
    """Which of ten random layouts of light and colour a picture is nearest to."""
    layouts = torch.randn(3 * 16, CLASSES, generator=random)

    def draw(count: int, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        images, _ = pictures(count, chance)
        coarse = F.adaptive_avg_pool2d(images, 4).flatten(1)
        return images, ((coarse - coarse.mean(dim=0)) @ layouts).argmax(dim=1)

    return draw


def _name_turn(pictures: Pictures, random: torch.Generator) -> Task:
    """By how many quarters a picture was turned."""

    def draw(count: int, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        images, _ = pictures(count, chance)
        turns = torch.arange(count) % 4
        return torch.stack([image.rot90(int(turn), (1, 2)) for image, turn in zip(images, turns, strict=True)]), turns

    return draw


def _train(victim: Victim, task: Task, steps: int, random: torch.Generator) -> None:
    optimizer = torch.optim.Adam(victim.parameters(), lr=_RATE)
    for _ in range(steps):
        images, labels = task(_BATCH, random)
        loss = F.cross_entropy(victim(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
