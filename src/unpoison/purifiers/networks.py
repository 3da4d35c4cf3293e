"""Loading the network that a purifier's settings name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from unpoison.core.errors import ModelError
from unpoison.core.hashing import hash_file
from unpoison.nets.epsilon import EpsilonModel
from unpoison.nets.weights import load_any

Precision = Literal["fp32", "bf16"]


def load_network(
    model: str, *, method: str, precision: Precision, device: torch.device
) -> tuple[EpsilonModel, dict[str, str]]:
    """The network of a noise-based purifier, ready to use.

    Args:
        model: path of a weight file.
        method: the purifier, for the error.
        precision: arithmetic of the network calls.
        device: where it computes.

    Returns:
        The model and {file name: sha256}.

    Raises:
        ModelError: no file was named, or it is not a model.
    """
    if not model:
        raise ModelError(
            f"{method} needs a diffusion model: name one with --model FILE; "
            "`unpoison fit diffusion CLEAN --out FILE` fits one on a few clean images"
        )
    path = Path(model)
    network = load_any(path).to(device).eval().requires_grad_(False)
    network.autocast_dtype = torch.bfloat16 if precision == "bf16" else None
    return network, {path.name: hash_file(path)}
