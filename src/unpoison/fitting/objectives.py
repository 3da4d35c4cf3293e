"""Objectives of a fit: which batches a network sees, what its error is, and as what it is used afterwards."""

from __future__ import annotations

from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.precision import autocast, network_dtype
from unpoison.core.settings import bound_value
from unpoison.fitting.batches import Batch, Batches
from unpoison.fitting.losses import LOSSES
from unpoison.fitting.patches import PatchBatches, Patches
from unpoison.fitting.settings import DenoiserSettings, FitSettings, OptimiserSettings
from unpoison.nets.epsilon import EpsilonModel
from unpoison.nets.preconditioned import PreconditionedDenoiser
from unpoison.nets.schedules import Schedule
from unpoison.nets.weights import DiffusionModel


class Drawn(Protocol):
    """A batch, on the CPU as it is drawn."""

    def part(self, rank: int, parts: int) -> Self: ...

    def to(self, device: torch.device) -> Self: ...


class Objective(Protocol):
    """What `FitRun` needs to know of a task."""

    def draw(self, step: int) -> Any:
        """The batch of a step, a `Drawn`; a function of seed and step."""
        ...

    def loss(self, net: nn.Module, batch: Any) -> Tensor:
        """Mean error of the network on a batch, a scalar tensor."""
        ...

    def wrap(self, net: nn.Module) -> DiffusionModel:
        """The network with what it takes to use it."""
        ...


class NoisePrediction:
    """The noise of a discrete schedule, and perhaps its variance: `losses.py`."""

    def __init__(self, image_set: ImageSet, settings: FitSettings, seed: int):
        self.settings = settings
        self.schedule = Schedule(settings.schedule, settings.schedule_steps)
        self.abar = self.schedule.abar()
        self.time_scale = 1000 / settings.schedule_steps
        self.draw = Batches(
            image_set,
            size=settings.batch_size,
            passes=settings.oversampling + 1,
            levels=settings.max_index + 1,
            flip=settings.flip,
            shift=settings.shift,
            seed=seed,
        ).draw

    def loss(self, net: nn.Module, batch: Batch) -> Tensor:
        clean, epsilon, index = batch.clean, batch.epsilon, batch.index
        if self.settings.loss == "hybrid" and not _learns_variance(net):
            raise SettingsError(
                f"loss=hybrid teaches a variance, which {self.settings.architecture} with these arguments has not; "
                "set loss=epsilon"
            )
        abar = self.abar[index].view(-1, 1, 1, 1)
        z = abar.sqrt().to(clean) * clean + (1 - abar).sqrt().to(clean) * epsilon
        with autocast(self.settings.precision, clean.device):
            output = net(z, (index * self.time_scale).to(clean))
        return LOSSES[self.settings.loss](output.float(), clean, epsilon, index, self.abar).mean()

    def wrap(self, net: nn.Module) -> EpsilonModel:
        return EpsilonModel(
            net,
            schedule=self.schedule,
            time_scale=self.time_scale,
            max_index=self.settings.max_index,
            learned_variance=_learns_variance(net),
        )


class CleanPrediction:
    """The clean image itself, from white noise with or without a smooth field, and perhaps a perturbation below it.

    The squared error is weighted so that every noise level counts alike at the start (Karras et al. 2022, section 5).
    The network is told the noise and not the perturbation, for which the same is counted everywhere.
    """

    def __init__(self, image_set: ImageSet, settings: DenoiserSettings, seed: int):
        self.settings = settings
        self.draw = PatchBatches(image_set, settings=settings, seed=seed).draw

    def loss(self, net: nn.Module, batch: Patches) -> Tensor:
        noisy = batch.noisy()
        denoiser = self.wrap(net)
        estimate = denoiser.estimate(noisy, batch.sigma, batch.field)
        target = denoiser.target(batch.clean, noisy, batch.sigma, batch.field)
        errors = (estimate - target).square().mean(dim=(1, 2, 3))
        if not self.settings.families:
            return errors.mean()
        noise = denoiser.counted(batch.sigma).square() + batch.field.square()
        size = (batch.shown - batch.clean)[1::2].square().mean(dim=(1, 2, 3))
        weight = noise[1::2] / (noise[1::2] + size)
        # The errors of a pair differ by what is left of the perturbation.
        left = (estimate - target)[1::2] - (estimate - target)[::2]
        perturbed = weight * (errors[1::2] + self.settings.pull * left.square().mean(dim=(1, 2, 3)))
        return (errors[::2].mean() + perturbed.mean()) / 2

    def wrap(self, net: nn.Module) -> PreconditionedDenoiser:
        settings = self.settings
        return PreconditionedDenoiser(
            net,
            sigma_min=bound_value(settings.sigma_min),
            sigma_max=bound_value(settings.sigma_max),
            field_max=bound_value(settings.field_max) if settings.field_share else 0.0,
            perturbation=bound_value(settings.counted) if settings.families else 0.0,
            autocast_dtype=network_dtype(settings.precision, next(net.parameters()).device),
        )


def _learns_variance(net: nn.Module) -> bool:
    return bool(getattr(net, "learned_variance", True))


def build_objective(image_set: ImageSet, settings: OptimiserSettings, seed: int) -> Objective:
    """The task that settings stand for.

    Raises:
        SettingsError: the images cannot be used.
    """
    if isinstance(settings, DenoiserSettings):
        return CleanPrediction(image_set, settings, seed)
    if isinstance(settings, FitSettings):
        return NoisePrediction(image_set, settings, seed)
    raise SettingsError(f"{type(settings).__name__} does not say what to fit")
