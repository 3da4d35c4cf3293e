"""CUDA: convolution-based unlearnable data, which has nothing to do with the maker of GPUs."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from unpoison.core.chunks import class_chunks
from unpoison.core.images import ImageSet
from unpoison.core.pixels import to_float
from unpoison.core.settings import Settings
from unpoison.poisons.protocol import Attack, PoisonedSet, Quantise, Resources, add_and_quantise, require_labels


class CudaSettings(Settings):
    """Settings of CUDA. The perturbation is not bounded.

    Args:
        blur: largest value of a kernel beside the one tap that is 1.
        quantise: how the filtered picture becomes 8 bits; the original truncates.
    """

    blur: float = Field(default=0.3, gt=0)
    quantise: Quantise = "round"


class CudaPoison(Attack):
    """Every class is blurred with a kernel of its own, and each picture is then stretched to full brightness.

    Pictures are framed with zeros, as in the original, so that their edges darken in a way that tells the class too.

    References:
        Sadasivan, Soltanolkotabi, Feizi: CUDA: Convolution-based Unlearnable Datasets, CVPR 2023,
        https://arxiv.org/abs/2303.04278
    """

    Settings = CudaSettings

    def craft(
        self, image_set: ImageSet, settings: CudaSettings, *, generator: torch.Generator, resources: Resources
    ) -> PoisonedSet:
        require_labels(image_set, "cuda")
        images = image_set.array()
        kernels = draw_kernels(len(image_set.class_names), settings.blur, generator)
        poisoned = np.empty_like(images)
        for label, rows in class_chunks(images, image_set.labels):
            filtered = filter_images(to_float(images[rows]), kernels[label]).permute(0, 2, 3, 1).numpy()
            poisoned[rows] = add_and_quantise(np.zeros_like(images[rows]), filtered, settings.quantise)
        return PoisonedSet(poisoned, image_set.ids, "availability")


def draw_kernels(classes: int, blur: float, generator: torch.Generator) -> Tensor:
    """Kernels [classes, 3, 3], uniform in [0, blur] but for one random tap, which is 1."""
    kernels = blur * torch.rand(classes, 9, generator=generator)
    taps = torch.randint(9, (classes, 1), generator=generator)
    return kernels.scatter(1, taps, 1.0).view(-1, 3, 3)


def filter_images(images: Tensor, kernel: Tensor) -> Tensor:
    """Correlate every channel with a kernel, over a frame of zeros, and divide each picture by its largest value.

    Args:
        images: [N, 3, H, W] float32 in [0, 1].
        kernel: [3, 3], not negative.

    Returns:
        [N, 3, H, W] in [0, 1]; black pictures stay black.
    """
    framed = F.pad(images, (1, 1, 1, 1))
    height, width = images.shape[2:]
    filtered = torch.zeros_like(images)
    for row, column in product(range(3), range(3)):  # many times as fast on a CPU as a convolution of one channel
        shifted = framed[:, :, row : row + height, column : column + width]
        filtered.add_(shifted, alpha=kernel[row, column].item())
    return filtered / filtered.amax(dim=(1, 2, 3), keepdim=True).clamp(min=torch.finfo(images.dtype).tiny)
