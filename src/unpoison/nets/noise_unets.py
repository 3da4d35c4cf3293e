"""Importer of UNets of diffusers that predict the noise: PureGen's DDPM[250], and pipelines of others."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from unpoison.nets.epsilon import EpsilonModel
from unpoison.nets.improved_diffusion import check_state
from unpoison.nets.puregen_unet import NoiseUNet, build_diffusers_unet, build_puregen_unet
from unpoison.nets.rebuilding import build_unfilled
from unpoison.nets.schedules import Schedule

PUREGEN_SCHEDULE = Schedule("linear", 1000)
_PUREGEN_LAST = 249
_FIRST = "conv_in.weight"  # [channels, 3, 3, 3]
_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # names before 2023


def is_unet(state: Mapping[str, Tensor]) -> bool:
    """Whether tensors are named as those of a UNet of diffusers."""
    return _FIRST in state


def puregen_max_index(name: str) -> int:
    """The largest index that a model of PureGen was trained for, told from its published name.

    >>> puregen_max_index("cifar10_DDPM[500]_nf[L].pt"), puregen_max_index("puregen-ddpm-cifar10")
    (499, 249)
    """
    named = re.search(r"DDPM\[(\d{1,5})\]", name)
    return int(named[1]) - 1 if named else _PUREGEN_LAST


def import_puregen_unet(
    state: Mapping[str, Tensor], *, max_index: int = _PUREGEN_LAST
) -> tuple[EpsilonModel, str, dict[str, Any]]:
    """Build a diffusion model of PureGen from its bare weights; S, M or L is told from their shapes.

    Args:
        state: 450 tensors by name, as `read_state` gives them.
        max_index: largest index it was trained for.

    Returns:
        The model in evaluation mode, the name of its architecture in `nets.methods`, and the arguments of that.

    Raises:
        ModelError: names or shapes differ from the published network's.
    """
    arguments = {"channels": len(state[_FIRST])}
    model = _build(build_puregen_unet, arguments, state, PUREGEN_SCHEDULE, max_index)
    return model, "puregen-unet", arguments


def import_described_unet(
    state: Mapping[str, Tensor],
    config: Mapping[str, Any],
    *,
    schedule: Schedule,
    max_index: int,
    largest_variance: bool = False,
) -> tuple[EpsilonModel, str, dict[str, Any]]:
    """Build the diffusion model of a pipeline from its weights and their description.

    Args:
        state: tensors by name; those of old attention layers may have their old names.
        config: keyword arguments of the UNet2DModel.
        schedule: the one it was trained with.
        max_index: largest index it was trained for.
        largest_variance: as in `EpsilonModel`.

    Returns:
        As `import_puregen_unet`.

    Raises:
        ModelError: the weights do not fit the description, or the network does not map RGB to RGB.
    """
    renamed = {_modern_name(name): value for name, value in state.items()}
    model = _build(build_diffusers_unet, config, renamed, schedule, max_index)
    model.largest_variance = largest_variance
    return model, "diffusers-unet", dict(config)


def _build(
    build: Callable[..., NoiseUNet],
    arguments: Mapping[str, Any],
    state: Mapping[str, Tensor],
    schedule: Schedule,
    max_index: int,
) -> EpsilonModel:
    with torch.device("meta"):  # shapes first: a description must not make us allocate what the file does not hold
        check_state(state, {name: tensor.shape for name, tensor in build(**arguments).unet.state_dict().items()})
    net = build_unfilled(build, **arguments)
    net.unet.load_state_dict(state)
    return EpsilonModel(net, schedule=schedule, max_index=max_index, learned_variance=False).eval()


def _modern_name(name: str) -> str:
    part = "|".join(_OLD_ATTENTION)
    return re.sub(rf"(?<=attentions\.\d\.)({part})(?=\.)", lambda match: _OLD_ATTENTION[match[1]], name)
