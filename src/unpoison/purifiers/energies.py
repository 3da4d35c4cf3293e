"""The energy of every picture of a set."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from unpoison.core.device import same_bits
from unpoison.core.errors import ModelError
from unpoison.core.images import ImageSet
from unpoison.core.pixels import images_per_call, in_calls, to_float
from unpoison.core.progress import OnStep, StepInfo
from unpoison.nets.protocols import EnergyModel

_CALL = 64


def measure_energies(
    image_set: ImageSet, model: EnergyModel, *, device: torch.device, on_step: OnStep | None = None
) -> np.ndarray:
    """Energies of a set, in its order.

    As when purifying, the shape of a call follows from the size of a picture alone: what a picture gets does not
    depend on the rest of the set.

    Args:
        image_set: pictures of any sizes that the model takes.
        model: gives the energies; lies on the device.
        device: where to compute.
        on_step: called after each block of pictures.

    Returns:
        [N] float32; lower is more natural.

    Raises:
        ModelError: an energy is infinite or not a number.
        DataError: a picture is broken.
    """
    energies = np.empty(len(image_set), np.float32)
    with same_bits(device), torch.inference_mode():
        for block in image_set.blocks():
            pictures = image_set.load(block)
            for shape in {picture.shape for picture in pictures}:
                alike = [place for place, picture in enumerate(pictures) if picture.shape == shape]
                images = to_float(np.stack([pictures[place] for place in alike])).to(device)
                measured = _measure(model, images, images_per_call(_CALL, shape[0] * shape[1]))
                energies[np.array(alike) + block.start] = measured.cpu().numpy()
            if on_step:
                on_step(StepInfo(block.stop, len(image_set)))
    strange = np.flatnonzero(~np.isfinite(energies))
    if len(strange):
        raise ModelError(
            f"the model gives {len(strange)} of {len(energies)} pictures no finite energy, first "
            f"'{image_set.ids[strange[0]]}'; use another model"
        )
    return energies


def _measure(model: EnergyModel, images: Tensor, call: int) -> Tensor:
    return torch.cat(in_calls(len(images), call, lambda rows: model.energy(images[rows])))
