"""Perturbations that follow the gradient of a small network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from unpoison.fitting.perturbations.victims import CLASSES, Victim, build_victim

_MOST_STEPS = 3
_SPREADS = (1, 1, 3, 5)  # pixels over which the gradient is smoothed, as large networks' gradients are smoother
_NEW = 0.2  # share of networks that are drawn on the spot and know nothing


@dataclass(frozen=True)
class Gradients:
    """One to three steps along the gradient of a network, from no perturbation or from a random one.

    They make the network surer of what it sees or less sure, or show it a class drawn at random; each picture has a
    perturbation of its own, or all share one; values move by their sign or by their size; the gradient may be smoothed.

    Args:
        victims: trained networks.
    """

    victims: list[Victim]

    def __call__(self, clean: Tensor, amplitude: Tensor, random: torch.Generator) -> Tensor:
        """Perturbed pictures.

        Args:
            clean: [N, 3, S, S] in [0, 1].
            amplitude: [N, 1, 1, 1] bound of each perturbation.
            random: source of network, aim, start and steps.
        """

        def pick(count: int) -> int:
            return int(torch.randint(count, (), generator=random))

        new = not self.victims or float(torch.rand((), generator=random)) < _NEW
        victim = build_victim(random).requires_grad_(False) if new else self.victims[pick(len(self.victims))]
        with torch.no_grad():
            seen = victim(clean).argmax(dim=1)
        aim, shared, signs = pick(3), pick(4) == 0, pick(4) > 0
        labels = torch.randint(CLASSES, (len(clean) if not shared else 1,), generator=random).expand(len(clean))
        labels, way = (labels, -1) if aim == 0 else (seen, 1 if aim == 1 else -1)
        steps, spread = 1 + pick(_MOST_STEPS), _SPREADS[pick(len(_SPREADS))]
        moved = torch.zeros_like(clean) if pick(2) else 2 * torch.rand(clean.shape, generator=random) - 1
        for _ in range(steps):
            moved.requires_grad_(True)
            loss = F.cross_entropy(victim(clean + amplitude * moved), labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, moved)
            gradient = (gradient / amplitude).sum(dim=0, keepdim=True).expand_as(clean) if shared else gradient
            for _ in range(2 if spread > 1 else 0):
                gradient = F.avg_pool2d(gradient, spread, stride=1, padding=spread // 2)
            scale = gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp(min=1e-20)
            move = gradient.sign() if signs else gradient / scale
            moved = (moved.detach() + way * 1.5 / steps * move).clamp(-1, 1)
        return clean + amplitude * moved
