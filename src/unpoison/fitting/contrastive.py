"""One fit of an energy model in progress: network, optimiser, bank of chains, and the update that moves them."""

from __future__ import annotations

import copy
import math
from collections import deque
from typing import Any

import torch
from torch import Tensor, nn

from unpoison.core.errors import RunError
from unpoison.core.images import ImageSet
from unpoison.core.noise import generator
from unpoison.core.precision import network_dtype
from unpoison.dynamics.langevin import langevin
from unpoison.fitting.averaging import WeightAverage
from unpoison.fitting.bank import Bank, rejuvenate
from unpoison.fitting.batches import Batches
from unpoison.fitting.blow_ups import Figures, Rollback, find_blow_up
from unpoison.fitting.networks import averaged, new_network, new_optimizer
from unpoison.fitting.running import rate_factor
from unpoison.fitting.settings import EnergySettings
from unpoison.nets.pixel_energy import PixelEnergy


class EnergyRun:
    """The fit of an energy model at some update of it.

    All randomness of an update is keyed by seed, update and the number of rollbacks before it, so there is no
    generator whose state would have to be kept.

    Args:
        image_set: clean images of one size.
        settings: of the fit.
        seed: of weights, order, augmentation, bank and noise.
        device: where it computes.

    Raises:
        SettingsError: the images or the network's arguments cannot be used.
    """

    def __init__(self, image_set: ImageSet, *, settings: EnergySettings, seed: int, device: torch.device):
        self.settings, self.seed, self.device = settings, seed, device
        self.data = Batches(
            image_set,
            size=settings.batch_size,
            passes=1,
            levels=1,
            flip=settings.flip,
            shift=settings.shift,
            seed=seed,
        )
        self.net = new_network(settings, seed).to(device).train()
        self.energy = PixelEnergy(self.net, autocast_dtype=network_dtype(settings.precision, device))
        self.average = WeightAverage(self.net, decay=settings.ema_decay, warmup=settings.ema_warmup)
        self.optimizer = new_optimizer(self.net, settings)
        bank = Bank.from_data(
            self.data.images,
            size=settings.bank_size,
            noise=settings.data_noise,
            generator=generator(seed, "fit/bank"),
        )
        self.bank = Bank(bank.images.to(device))
        self.trace: list[Figures] = []
        self.rollbacks: list[Rollback] = []
        # Trouble begins before it shows: the newer of two snapshots may hold it already, the older one does not.
        self._snapshots: deque[dict[str, Any]] = deque([self._snapshot()], maxlen=2)

    @property
    def done(self) -> int:
        """Updates done."""
        return len(self.trace)

    def step(self) -> Figures:
        """Do one update; returns what it came to."""
        settings, step = self.settings, self.done
        random = self._generator(step)
        batch = self.data.draw(step)
        data = (batch.clean + settings.data_noise * batch.epsilon).to(self.device)
        slots, chains = self.bank.draw(settings.batch_size, generator=random)
        chains = langevin(
            rejuvenate(chains, data, rate=settings.rejuvenation, generator=random),
            self.energy,
            steps=settings.langevin_steps,
            step_size=settings.step_size,
            temperature=settings.temperature,
            noise=_Drawn(random),
        )
        self.bank.write(slots, chains)
        data_energy, bank_energy = self.energy(data).mean(), self.energy(chains).mean()
        gradient = self._descend((data_energy - bank_energy) / settings.temperature, step)
        with torch.no_grad():
            uniform = 2 * torch.rand(data.shape, generator=random, device=self.device) - 1
            noise_energy = self.energy(uniform).mean()
        self.trace.append(Figures(data_energy.item(), bank_energy.item(), noise_energy.item(), gradient.item()))
        return self.trace[-1]

    def guard(self) -> Rollback | None:
        """Look at the last update: go back if the fit diverges, else remember a state now and then.

        Returns:
            The rollback, if there was one.

        Raises:
            RunError: it diverges again after `max_rollbacks` of them.
        """
        why = find_blow_up(self.trace, self.settings)
        if why is None:
            if self.done % self.settings.snapshot_every == 0:
                self._snapshots.append(self._snapshot())
            return None
        if len(self.rollbacks) == self.settings.max_rollbacks:
            raise RunError(
                f"the fit diverges at update {self.done} ({why}), after {len(self.rollbacks)} rollbacks; "
                "choose a smaller learning_rate, or more langevin_steps"
            )
        at = self.done
        self._restore(self._snapshots[0])
        self._snapshots = deque([self._snapshots[0]], maxlen=2)
        self.rollbacks.append(Rollback(at, self.done, why))
        return self.rollbacks[-1]

    def learning_rate(self, step: int) -> float:
        """Of an update, counted from 0: as the settings say, halved by each rollback."""
        passed = sum(step >= share * self.settings.iterations for share in self.settings.milestones)
        halved = 0.5 ** len(self.rollbacks)
        return self.settings.learning_rate * rate_factor(self.settings, step) * 0.1**passed * halved

    def model(self) -> PixelEnergy:
        """The model as it will be stored: of the averaged weights, which are the last ones where `ema_decay` is 0."""
        return PixelEnergy(averaged(self.net, self.average, self.settings)).eval()

    def state(self) -> dict[str, Any]:
        """All that later updates depend on."""
        rollbacks = [(rollback.at, rollback.to, rollback.why) for rollback in self.rollbacks]
        return {"now": self._parts(), "snapshots": list(self._snapshots), "rollbacks": rollbacks}

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where a state was taken."""
        self._restore(state["now"])
        self._snapshots = deque(state["snapshots"], maxlen=2)
        self.rollbacks = [Rollback(*rollback) for rollback in state["rollbacks"]]

    def _descend(self, loss: Tensor, step: int) -> Tensor:
        """One step of the optimiser; returns the norm of the gradient."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), self.settings.grad_clip or math.inf)
        self.optimizer.step()
        self.average.update(self.net, step)
        return norm

    def _generator(self, step: int) -> torch.Generator:
        """On the device: 100 steps of noise an update are too much to carry over."""
        key = generator(self.seed, f"fit/chains/{step}/{len(self.rollbacks)}").initial_seed()
        return torch.Generator(self.device).manual_seed(key)

    def _parts(self) -> dict[str, Any]:
        return {
            "weights": self.net.state_dict(),
            "average": self.average.weights,
            "optimizer": self.optimizer.state_dict(),
            "bank": self.bank.images,
            "trace": torch.tensor(self.trace, dtype=torch.float64).view(-1, len(Figures._fields)),
        }

    def _snapshot(self) -> dict[str, Any]:
        return copy.deepcopy(self._parts())

    def _restore(self, parts: dict[str, Any]) -> None:
        parts = copy.deepcopy(parts)  # what comes back is trained on, and may be asked for again
        self.net.load_state_dict(parts["weights"])
        self.average.weights = {name: value.to(self.device) for name, value in parts["average"].items()}
        self.optimizer.load_state_dict(parts["optimizer"])
        self.bank = Bank(parts["bank"].to(self.device))
        self.trace = [Figures(*row) for row in parts["trace"].tolist()]


class _Drawn:
    """Noise of one generator, as samplers take it."""

    def __init__(self, random: torch.Generator):
        self.random = random

    def normal(self, like: Tensor, step: int | str) -> Tensor:
        return torch.randn(like.shape, generator=self.random, device=like.device)
