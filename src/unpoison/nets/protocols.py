"""The two ways in which the rest of the project sees a diffusion model, and the one for energy models."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class DiscreteModel(Protocol):
    """A diffusion model over integer indices, as its paper trained it.

    Attributes:
        abar: [T] float64 on the CPU, cumulative product of 1 - beta.
        time_scale: factor from index to the network's time input.
        max_index: largest index the network was trained for.
    """

    abar: Tensor
    time_scale: float
    max_index: int

    def predict(self, z: Tensor, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Estimate the clean image.

        Args:
            z: [N, C, H, W] float32, noisy image in the scaling of [-1, 1] data.
            index: [N] index of each image's noise level, from 0 to `max_index`; fractions lie between two levels.

        Returns:
            x0, [N, C, H, W] in [-1, 1] units but not clamped, and the raw interpolation value v of the learned
            variance, of the same shape, or None if the model has none.

        Raises:
            ModelError: an index beyond `max_index`.
        """
        ...


@runtime_checkable
class Denoiser(Protocol):
    """A network that removes Gaussian noise of a given standard deviation in one call.

    Attributes:
        sigma_min: smallest noise it was trained for, in [0, 1] pixel units.
        sigma_max: largest.
    """

    @property
    def sigma_min(self) -> float: ...

    @property
    def sigma_max(self) -> float: ...

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Estimate the clean image.

        Args:
            x: [N, C, H, W] float32, clean image in [0, 1] plus sigma times Gaussian noise.
            sigma: [N] noise of each image, in [0, 1] pixel units.

        Returns:
            [N, C, H, W] float32, not clamped.

        Raises:
            ModelError: sigma outside `sigma_min` to `sigma_max`.
        """
        ...


@runtime_checkable
class EnergyModel(Protocol):
    """A network that tells how unnatural an image is.

    Attributes:
        autocast_dtype: precision of the network's arithmetic, if it is not float32.
    """

    autocast_dtype: torch.dtype | None

    def energy(self, x: Tensor) -> Tensor:
        """How unnatural images are, on a scale of the model's own.

        Args:
            x: [N, C, H, W] float32 in [0, 1].

        Returns:
            [N] float32; lower is more natural.
        """
        ...
