"""A user's own model, held in memory, as a Denoiser."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from unpoison.core.errors import ModelError
from unpoison.nets.denoiser import CallableDenoiser, as_denoiser
from unpoison.nets.pipelines import PipelineModel
from unpoison.nets.protocols import Denoiser, DiscreteModel

# What a bare function is taken to be good for: it says nothing of its own.
_SIGMA_MIN, _SIGMA_MAX = 1 / 255, 1.0


def own_denoiser(model: Any) -> Denoiser:
    """See a model as a denoiser.

    Args:
        model: a `Denoiser`, a `DiscreteModel`, a pipeline of diffusers over RGB pixels, or any function or nn.Module
            that maps x [N, 3, H, W] in [0, 1] plus noise, and sigma [N] in the same units, to the clean image. It is
            called from several threads, with N the same in every call.

    Raises:
        ModelError: it is none of these, or is in training mode.
    """
    network = _network(model)
    if network is not None and network.training:
        raise ModelError("the model is in training mode; call its eval() first")
    if isinstance(model, (Denoiser, DiscreteModel)):
        return as_denoiser(model)
    if hasattr(model, "unet") and hasattr(model, "scheduler"):
        return as_denoiser(PipelineModel(model))
    if not callable(model):
        raise ModelError(
            f"a {type(model).__name__} is no model: give the path of a file, a pipeline, or a function of (x, sigma)"
        )
    return CallableDenoiser(model, _SIGMA_MIN, _SIGMA_MAX)


def own_device(model: Any, asked: str) -> torch.device | None:
    """Where a model lies; None if it does not say.

    Args:
        model: as for `own_denoiser`.
        asked: the device that the user named, or `auto`.

    Raises:
        ModelError: it lies elsewhere; we do not move what is not ours.
    """
    network = _network(model)
    parameter = None if network is None else next(network.parameters(), None)
    if parameter is None:
        return None
    if asked != "auto" and torch.device(asked).type != parameter.device.type:
        raise ModelError(f"the model lies on {parameter.device}; omit device=, or move it with .to('{asked}')")
    return parameter.device


def _network(model: Any) -> nn.Module | None:
    """The network that a model is or wraps; None if it is or shows none."""
    candidates = [model, *(getattr(model, name, None) for name in ("unet", "net", "model", "function"))]
    return next((candidate for candidate in candidates if isinstance(candidate, nn.Module)), None)
