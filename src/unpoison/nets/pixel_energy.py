"""An energy network as a model: its range, its precision, and its importer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from unpoison.core.errors import ModelError
from unpoison.core.methods import load_method
from unpoison.nets.improved_diffusion import check_state
from unpoison.nets.methods import METHODS
from unpoison.nets.rebuilding import build_unfilled

# What tells a published network: the weight of its first convolution, [width, 3, 3, 3].
_FIRST = {"sngan-energy": "block1.c1.weight", "conv-energy": "f.0.weight"}


class PixelEnergy(nn.Module):
    """A network that gives an image its energy. Satisfies `EnergyModel`.

    Args:
        net: maps images [N, 3, H, W] in [-1, 1] to [N].
        autocast_dtype: run the network, and only the network, in this precision, e.g. torch.bfloat16.
    """

    def __init__(self, net: nn.Module, *, autocast_dtype: torch.dtype | None = None):
        super().__init__()
        self.net = net
        self.autocast_dtype = autocast_dtype

    def forward(self, x: Tensor) -> Tensor:
        """Energy of images in the range of the network: [N, 3, H, W] float32 in [-1, 1] to [N] float32."""
        with torch.autocast(x.device.type, dtype=self.autocast_dtype, enabled=self.autocast_dtype is not None):
            energy: Tensor = self.net(x)
            return energy.float()

    def energy(self, x: Tensor) -> Tensor:
        """See `EnergyModel.energy`."""
        energy: Tensor = self(2 * x - 1)
        return energy


def is_energy(state: Mapping[str, Tensor]) -> bool:
    """Whether tensors, by name, look like those of a published energy model."""
    return any(first in state for first in _FIRST.values())


def import_energy(state: Mapping[str, Tensor]) -> tuple[PixelEnergy, str, dict[str, Any]]:
    """Build a published energy model; its kind and width are read from its tensors.

    Args:
        state: tensors by name, as `read_state` gives them: 21 of `EBMSNGAN32`, or 10 of `EBM`; see `is_energy`.

    Returns:
        The model in evaluation mode, the name of its architecture in `nets.methods`, and the arguments of that.

    Raises:
        ModelError: names or shapes are not those of a published energy model.
    """
    architecture = next(name for name, first in _FIRST.items() if first in state)
    shape = state[_FIRST[architecture]].shape
    if len(shape) != 4 or not shape[0]:
        raise ModelError(f"{_FIRST[architecture]} has shape {list(shape)}; it must be [width, 3, 3, 3]")
    arguments = {"width": shape[0]}
    build = load_method(METHODS, architecture, kind="architecture")
    with torch.device("meta"):  # shapes first: a file must not make us allocate what it does not hold
        check_state(state, {name: tensor.shape for name, tensor in build(**arguments).state_dict().items()})
    net = build_unfilled(build, **arguments)
    net.load_state_dict(state)
    return PixelEnergy(net).eval(), architecture, arguments
