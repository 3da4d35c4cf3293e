"""Published weights: which network they belong to, told from the names of their tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from unpoison.nets.epsilon import EpsilonModel
from unpoison.nets.improved_diffusion import import_improved_diffusion
from unpoison.nets.noise_unets import import_puregen_unet, is_unet, puregen_max_index
from unpoison.nets.pixel_energy import PixelEnergy, import_energy, is_energy


def import_published(
    state: Mapping[str, Tensor], *, name: str = "", max_index: int | None = None
) -> tuple[EpsilonModel | PixelEnergy, str, dict[str, Any]]:
    """Build the model of a published file; names and shapes must fit exactly.

    Args:
        state: tensors by name, as `read_state` gives them.
        name: under which it was published; says how far a diffusion model of PureGen was trained.
        max_index: largest index that such a model was trained for, if its name does not tell.

    Returns:
        The model in evaluation mode, the name of its architecture in `nets.methods`, and the arguments of that.

    Raises:
        ModelError: names or shapes differ from the published network's.
    """
    if is_energy(state):
        return import_energy(state)
    if is_unet(state):
        return import_puregen_unet(state, max_index=puregen_max_index(name) if max_index is None else max_index)
    return import_improved_diffusion(state), "eclipse-unet", {}
