"""One fit in progress: network, optimiser, average, and the step that moves them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.fitting.averaging import WeightAverage
from unpoison.fitting.networks import averaged, new_network, new_optimizer, seeded
from unpoison.fitting.objectives import build_objective
from unpoison.fitting.processes import Processes
from unpoison.fitting.settings import OptimiserSettings
from unpoison.nets.weights import DiffusionModel


class FitRun:
    """A fit at some step of it.

    Args:
        image_set: clean images; of one size, unless patches of them are learnt.
        settings: of the fit; their class decides what the network learns.
        seed: of weights, order, augmentation and noise.
        processes: this process and the others.

    Raises:
        SettingsError: the images, the batch size or the network's arguments cannot be used.
    """

    def __init__(self, image_set: ImageSet, *, settings: OptimiserSettings, seed: int, processes: Processes):
        if settings.batch_size % processes.count:
            raise SettingsError(
                f"batch_size={settings.batch_size} cannot be shared evenly among {processes.count} processes"
            )
        self.settings, self.seed, self.processes = settings, seed, processes
        self.objective = build_objective(image_set, settings, seed)
        self.net = new_network(settings, seed).to(processes.device).train()
        self.average = WeightAverage(self.net, decay=settings.ema_decay, warmup=settings.ema_warmup)
        self.optimizer = new_optimizer(self.net, settings)
        self.losses: list[float] = []

    @property
    def done(self) -> int:
        """Steps done."""
        return len(self.losses)

    def step(self) -> float:
        """Do one step; returns its loss over the whole batch."""
        step, settings, processes = self.done, self.settings, self.processes
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate_factor(settings, step)
        batch = self.objective.draw(step).part(processes.rank, processes.count).to(processes.device)
        with seeded(self.seed, f"fit/dropout/{step}/{processes.rank}", processes.device):
            loss = self.objective.loss(self.net, batch)
        self.optimizer.zero_grad()
        loss.backward()
        processes.average_gradients(self.net.parameters())
        if settings.grad_clip:
            nn.utils.clip_grad_norm_(self.net.parameters(), settings.grad_clip)
        self.optimizer.step()
        self.average.update(self.net, step)
        self.losses.append(processes.average(loss.detach()).item())
        return self.losses[-1]

    def model(self) -> DiffusionModel:
        """The model of the averaged weights, as it will be stored."""
        return self.objective.wrap(averaged(self.net, self.average, self.settings)).eval()

    def state(self) -> dict[str, Any]:
        """All that later steps depend on."""
        return {
            "weights": self.net.state_dict(),
            "average": self.average.weights,
            "optimizer": self.optimizer.state_dict(),
            "losses": torch.tensor(self.losses, dtype=torch.float64),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where a state was taken."""
        self.net.load_state_dict(state["weights"])
        self.average.weights = {name: value.to(self.processes.device) for name, value in state["average"].items()}
        self.optimizer.load_state_dict(state["optimizer"])
        self.losses = state["losses"].tolist()


def rate_factor(settings: OptimiserSettings, step: int) -> float:
    """What the learning rate is multiplied by at a step, counted from 0."""
    factor = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    if settings.decay == "cosine":
        factor *= 0.5 * (1 + math.cos(math.pi * step / settings.iterations))
    return factor
