"""The network of a fit: made anew, and as it is stored in the end."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from unpoison.core.errors import SettingsError
from unpoison.core.methods import load_method
from unpoison.core.noise import generator
from unpoison.fitting.averaging import WeightAverage
from unpoison.fitting.settings import OptimiserSettings
from unpoison.nets.methods import METHODS
from unpoison.nets.shipped import check_model, weights_path
from unpoison.nets.weights import load_any

STORED = {"fp32": torch.float32, "bf16": torch.bfloat16}


def new_network(settings: OptimiserSettings, seed: int) -> nn.Module:
    """The network that settings name, with weights that the seed decides or those it starts with, on the CPU.

    Raises:
        SettingsError: there is no such network, or its arguments cannot be used, or the weights to start with are of
            another one.
        ModelError: the weights to start with are not there or cannot be read.
    """
    build = load_method(METHODS, settings.architecture, kind="architecture")
    arguments = {**settings.arguments, **({"dropout": settings.dropout} if settings.dropout else {})}
    with seeded(seed, "fit/weights", torch.device("cpu")):
        try:
            network: nn.Module = build(**arguments).to(memory_format=torch.channels_last)
        except (TypeError, ValueError) as error:
            raise SettingsError(f"architecture {settings.architecture} with arguments {arguments}: {error}") from None
    if settings.start:
        check_model(settings.start)
        known = load_any(weights_path(settings.start)).net.state_dict()
        try:
            network.load_state_dict(known)
        except RuntimeError:
            raise SettingsError(
                f"start={settings.start}: these are weights of another network than {settings.architecture} with "
                f"arguments {arguments}"
            ) from None
    return network


def new_optimizer(net: nn.Module, settings: OptimiserSettings) -> torch.optim.AdamW:
    """The optimiser of a network."""
    return torch.optim.AdamW(net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)


def averaged(net: nn.Module, average: WeightAverage, settings: OptimiserSettings) -> nn.Module:
    """A copy of a network with the averaged weights, as they will be stored, ready to use."""
    finished = copy.deepcopy(net).eval().requires_grad_(False)
    dtype = STORED[settings.stored]
    finished.load_state_dict({name: value.to(dtype) for name, value in average.weights.items()})
    return finished


@contextmanager
def seeded(seed: int, purpose: str, device: torch.device) -> Iterator[None]:
    """Lend torch's own generator a seed: initial weights and dropout take no other. The caller gets its state back.

    Args:
        seed: of the run.
        purpose: what is drawn; another one gets other numbers.
        device: where it is drawn.
    """
    cuda = device.type == "cuda"
    with torch.random.fork_rng([device] if cuda else []):
        number = generator(seed, purpose).initial_seed()
        torch.default_generator.manual_seed(number)
        if cuda:
            torch.cuda.manual_seed(number)
        yield
