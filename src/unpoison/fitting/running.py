"""One fit in progress: network, optimiser, average, and the step that moves them."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.methods import load_method
from unpoison.core.noise import generator
from unpoison.fitting.averaging import WeightAverage
from unpoison.fitting.batches import Batch, Batches
from unpoison.fitting.losses import LOSSES
from unpoison.fitting.processes import Processes
from unpoison.fitting.settings import FitSettings
from unpoison.nets.epsilon import EpsilonModel
from unpoison.nets.methods import METHODS
from unpoison.nets.schedules import Schedule


class DiffusionRun:
    """A fit at some step of it.

    Args:
        image_set: clean images of one size.
        settings: of the fit.
        seed: of weights, order, augmentation and noise.
        processes: this process and the others.

    Raises:
        SettingsError: the images, the batch size or the network's arguments cannot be used.
    """

    def __init__(self, image_set: ImageSet, *, settings: FitSettings, seed: int, processes: Processes):
        if settings.batch_size % processes.count:
            raise SettingsError(
                f"batch_size={settings.batch_size} cannot be shared evenly among {processes.count} processes"
            )
        self.settings, self.seed, self.processes = settings, seed, processes
        self.batches = Batches(
            image_set,
            size=settings.batch_size,
            passes=settings.oversampling + 1,
            levels=settings.max_index + 1,
            flip=settings.flip,
            shift=settings.shift,
            seed=seed,
        )
        self.schedule = Schedule(settings.schedule, settings.schedule_steps)
        self.abar = self.schedule.abar()
        self.time_scale = 1000 / settings.schedule_steps
        with _seeded(seed, "fit/weights", torch.device("cpu")):
            net = _build_net(settings)
        self.net = net.to(processes.device).train()
        self.average = WeightAverage(self.net, decay=settings.ema_decay, warmup=settings.ema_warmup)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
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
        batch = self.batches.draw(step).part(processes.rank, processes.count)
        with _seeded(self.seed, f"fit/dropout/{step}/{processes.rank}", processes.device):
            loss = self._loss(batch)
        self.optimizer.zero_grad()
        loss.backward()
        processes.average_gradients(self.net.parameters())
        if settings.grad_clip:
            nn.utils.clip_grad_norm_(self.net.parameters(), settings.grad_clip)
        self.optimizer.step()
        self.average.update(self.net, step)
        self.losses.append(processes.average(loss.detach()).item())
        return self.losses[-1]

    def model(self) -> EpsilonModel:
        """The model of the averaged weights, for use."""
        net = copy.deepcopy(self.net).eval().requires_grad_(False)
        net.load_state_dict(self.average.weights)
        return EpsilonModel(
            net, schedule=self.schedule, time_scale=self.time_scale, max_index=self.settings.max_index
        ).eval()

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

    def _loss(self, batch: Batch) -> Tensor:
        device = self.processes.device
        clean, epsilon = batch.clean.to(device), batch.epsilon.to(device)
        abar = self.abar[batch.index].view(-1, 1, 1, 1)
        z = abar.sqrt().to(clean) * clean + (1 - abar).sqrt().to(clean) * epsilon
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.settings.precision == "bf16"):
            output = self.net(z, (batch.index * self.time_scale).to(clean))
        return LOSSES[self.settings.loss](output.float(), clean, epsilon, batch.index, self.abar).mean()


def rate_factor(settings: FitSettings, step: int) -> float:
    """What the learning rate is multiplied by at a step, counted from 0."""
    factor = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    if settings.decay == "cosine":
        factor *= 0.5 * (1 + math.cos(math.pi * step / settings.iterations))
    return factor


def _build_net(settings: FitSettings) -> nn.Module:
    build = load_method(METHODS, settings.architecture, kind="architecture")
    arguments = {**settings.arguments, **({"dropout": settings.dropout} if settings.dropout else {})}
    try:
        return build(**arguments)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"architecture {settings.architecture} with arguments {arguments}: {error}") from None


@contextmanager
def _seeded(seed: int, purpose: str, device: torch.device) -> Iterator[None]:
    """Lend torch's own generator a seed: initial weights and dropout take no other. The caller gets its state back."""
    cuda = device.type == "cuda"
    with torch.random.fork_rng([device] if cuda else []):
        number = generator(seed, purpose).initial_seed()
        torch.default_generator.manual_seed(number)
        if cuda:
            torch.cuda.manual_seed(number)
        yield
