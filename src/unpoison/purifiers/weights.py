"""Networks that a purifier's settings name, loaded."""

from __future__ import annotations

from functools import cache

import torch

from unpoison.core.errors import ModelError
from unpoison.core.hashing import hash_file
from unpoison.core.precision import network_dtype
from unpoison.core.settings import PrecisionOrInt8
from unpoison.nets.pixel_energy import PixelEnergy
from unpoison.nets.ranges import quantise_denoiser, ranges_path
from unpoison.nets.shipped import check_model, weights_path
from unpoison.nets.weights import DiffusionModel, Model, load_any


def load_network(
    model: str, *, method: str, precision: PrecisionOrInt8, device: torch.device
) -> tuple[DiffusionModel, dict[str, str]]:
    """The network of a noise-based purifier, ready to use.

    Args:
        model: name of shipped weights, or path of a weight file.
        method: the purifier, for the error.
        precision: arithmetic of the network calls.
        device: where it computes.

    Returns:
        The model and {file name: sha256}.

    Raises:
        ModelError: no file was named, or it is not a diffusion model.
    """
    if not model:
        raise ModelError(
            f"{method} needs a diffusion model: name one with --model FILE; "
            "`unpoison fit diffusion CLEAN --out FILE` fits one on a few clean images"
        )
    network, digests = _load(model, precision, device)
    if isinstance(network, PixelEnergy):
        raise ModelError(f"{method} needs a diffusion model, and {model} is an energy model; puregen-ebm takes those")
    return network, digests


def load_energy(
    model: str, *, method: str, precision: PrecisionOrInt8, device: torch.device
) -> tuple[PixelEnergy, dict[str, str]]:
    """The energy model of a purifier, ready to use.

    Args:
        model: name of shipped weights, or path of a weight file.
        method: what needs it, for the error.
        precision: arithmetic of the network calls.
        device: where it computes.

    Returns:
        The model and {file name: sha256}.

    Raises:
        ModelError: no file was named, or it is not an energy model.
    """
    if not model:
        raise ModelError(
            f"{method} needs an energy model: name one with --model FILE; `unpoison fit ebm SRC --out FILE` fits one, "
            "and `unpoison models import` brings in a published one"
        )
    network, digests = _load(model, precision, device)
    if not isinstance(network, PixelEnergy):
        raise ModelError(f"{method} needs an energy model, and {model} is a diffusion model")
    return network, digests


@cache
def has_int8(model: str) -> bool:
    """Whether a model has a form in whole numbers that this processor computes exactly.

    Args:
        model: name of shipped weights, or path of a weight file.
    """
    path = weights_path(model)
    if not ranges_path(path).exists():
        return False
    try:
        quantise_denoiser(load_any(path), path)
    except ModelError:
        return False
    return True


@torch.inference_mode(False)  # weights that are made in inference mode let no gradient through
def _load(model: str, precision: PrecisionOrInt8, device: torch.device) -> tuple[Model, dict[str, str]]:
    check_model(model)
    path = weights_path(model)
    network = load_any(path).to(device).eval().requires_grad_(False)
    if precision == "int8":
        return quantise_denoiser(network, path), {path.name: hash_file(path)}
    network.autocast_dtype = network_dtype(precision, device)
    # Channels together: faster on CPU and GPU, in either precision.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch lists no such form
    return network, {path.name: hash_file(path)}
