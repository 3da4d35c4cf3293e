"""A network as a Denoiser: scaled so that its input and its task have unit variance at every noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unpoison.core.errors import ModelError
from unpoison.nets.denoiser import check_sigma

_DATA_MEAN, _DATA_DEVIATION = 0.5, 0.25  # of natural images in [0, 1]


class PreconditionedDenoiser(nn.Module):
    """Removes white noise, and a smooth field that came with it, in one call. Satisfies `Denoiser`.

    With total noise s^2 = sigma^2 + field^2, data of mean m and deviation d, and the network F:
        D(x) = m + d^2 / (s^2 + d^2) (x - m) + s d / sqrt(s^2 + d^2) F((x - m) / sqrt(s^2 + d^2); sigma, field)
    A perturbation that may lie below the noise counts as white noise in all of this, as what F gives must reach it.

    Args:
        net: maps scaled images [N, 3, H, W], sigma [N] and field [N] to [N, 3, H, W].
        sigma_min: smallest white noise it was trained for, in [0, 1] pixel units.
        sigma_max: largest.
        field_max: largest rms of a smooth field; 0 if it never saw one.
        perturbation: rms of perturbations that it was taught to remove; 0 if none.
        autocast_dtype: run the network, and only the network, in this precision, e.g. torch.bfloat16.

    References:
        Karras et al., Elucidating the design space of diffusion-based generative models, 2022, section 5,
        https://arxiv.org/abs/2206.00364; the field is ours.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        sigma_min: float,
        sigma_max: float,
        field_max: float,
        perturbation: float = 0.0,
        autocast_dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.net = net
        self.sigma_min, self.sigma_max, self.field_max = sigma_min, sigma_max, field_max
        self.perturbation = perturbation
        self.autocast_dtype = autocast_dtype

    @property
    def reach(self) -> int | None:
        """How many pixels away a pixel still matters to the result; None if the network does not say."""
        return getattr(self.net, "reach", None)

    def denoise(self, x: Tensor, sigma: Tensor, field: Tensor | None = None) -> Tensor:
        """Estimate the clean image.

        Args:
            x: [N, 3, H, W] float32, clean image in [0, 1] plus white noise, and perhaps a smooth field.
            sigma: [N] standard deviation of the white noise, in [0, 1] pixel units.
            field: [N] rms of the field in the same units; none if left out.

        Returns:
            [N, 3, H, W] float32, not clamped.

        Raises:
            ModelError: noise outside what the network was trained for.
        """
        field = torch.zeros_like(sigma) if field is None else field
        check_sigma(sigma, self.sigma_min, self.sigma_max)
        if float(field.max()) > self.field_max * (1 + 1e-6):
            raise ModelError(
                f"a smooth field of rms*255 = {255 * float(field.max()):.4g} is more than the model was trained for, "
                f"{255 * self.field_max:.4g}"
            )
        skip, gain = (part.view(-1, 1, 1, 1) for part in mixing(self.counted(sigma), field))
        return _DATA_MEAN + skip * (x - _DATA_MEAN) + gain * self.estimate(x, sigma, field)

    def estimate(self, x: Tensor, sigma: Tensor, field: Tensor) -> Tensor:
        """The network's own output F for noisy images, [N, 3, H, W] float32; see `denoise`."""
        sigma = self.counted(sigma)
        scale = (sigma.square() + field.square() + _DATA_DEVIATION**2).rsqrt().view(-1, 1, 1, 1)
        with torch.autocast(x.device.type, dtype=self.autocast_dtype, enabled=self.autocast_dtype is not None):
            output: Tensor = self.net(scale * (x - _DATA_MEAN), sigma, field)
            return output.float()

    def with_field(self, ratio: float) -> FieldDenoiser:
        """This denoiser for noise in which the field is so many times the white noise, at every level of it."""
        return FieldDenoiser(self, ratio, self.sigma_min, self.sigma_max)

    def counted(self, sigma: Tensor) -> Tensor:
        """White noise [N] and perturbation together."""
        return (sigma.square() + self.perturbation**2).sqrt() if self.perturbation else sigma

    def target(self, clean: Tensor, x: Tensor, sigma: Tensor, field: Tensor) -> Tensor:
        """What `estimate` should give, [N, C, H, W]: solves `denoise` = clean for F; sigma and field are [N]."""
        skip, gain = (part.view(-1, 1, 1, 1) for part in mixing(self.counted(sigma), field))
        return (clean - _DATA_MEAN - skip * (x - _DATA_MEAN)) / gain


@dataclass(frozen=True)
class FieldDenoiser:
    """A `Denoiser` of noise of one colour; `PreconditionedDenoiser.with_field` makes it.

    Args:
        denoiser: the network.
        ratio: rms of the smooth field over the standard deviation of the white noise.
        sigma_min: smallest white noise, in [0, 1] pixel units.
        sigma_max: largest.
    """

    denoiser: PreconditionedDenoiser
    ratio: float
    sigma_min: float
    sigma_max: float

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """See `Denoiser.denoise`; sigma is that of the white noise."""
        return self.denoiser.denoise(x, sigma, self.ratio * sigma)


def mixing(sigma: Tensor, field: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [N] of the noisy image and of the network's output in the result."""
    noise = sigma.square() + field.square()
    total = noise + _DATA_DEVIATION**2
    return _DATA_DEVIATION**2 / total, (noise / total).sqrt() * _DATA_DEVIATION
