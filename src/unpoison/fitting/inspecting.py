"""Errors of a fitted model at denoising, and pictures of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unpoison.core.images import ImageSet
from unpoison.core.noise import Noise
from unpoison.core.pixels import to_float
from unpoison.nets.denoiser import as_denoiser
from unpoison.nets.protocols import Denoiser, DiscreteModel

_NOISES_255 = (1.6, 3.2, 6.4, 12.8, 25.5, 51.0, 127.5)  # 6.4 is ECLIPSE's, 127.5 the demo's
_IMAGES = 256  # enough for a figure: the standard error of a PSNR over so many images is about 0.1 dB


@dataclass(frozen=True)
class DenoisingError:
    """Error of one call at one noise.

    Args:
        sigma_255: noise, times 255.
        mse: mean squared error of the denoised image, in [0, 1] units.
        psnr: the same in decibels.
        psnr_noisy: of the noisy image.
        images: how many were measured.
    """

    sigma_255: float
    mse: float
    psnr: float
    psnr_noisy: float
    images: int


def measure_denoising(
    model: DiscreteModel | Denoiser, image_set: ImageSet, device: torch.device
) -> list[DenoisingError]:
    """Error of one-call denoising over the noises a model was trained for.

    Args:
        model: on `device`.
        image_set: images it was not fitted to; the first 256 are used, as `to_show` makes them.
        device: where it computes.
    """
    rows = range(min(_IMAGES, len(image_set)))
    clean = to_show(image_set.subset(rows)).to(device)
    errors = []
    for sigma in noise_levels(model):
        noisy, denoised = denoise_once(model, clean, sigma, image_set.ids[: len(rows)])
        mse = _mse(denoised, clean)
        errors.append(DenoisingError(255 * sigma, mse, _psnr(mse), _psnr(_mse(noisy, clean)), len(rows)))
    return errors


def to_show(image_set: ImageSet) -> Tensor:
    """Images as one batch, [N, 3, H, W] in [0, 1]; of several sizes, the middle squares of the smallest side."""
    if len(np.unique(image_set.sizes, axis=0)) <= 1:
        return to_float(image_set.array())
    image_set.check_headers()
    side = int(image_set.sizes.min())
    pictures = image_set.load(range(len(image_set)))
    places = [[(length - side) // 2 for length in picture.shape[:2]] for picture in pictures]
    squares = [
        picture[top : top + side, left : left + side] for picture, (top, left) in zip(pictures, places, strict=True)
    ]
    return to_float(np.stack(squares))


def noise_levels(model: DiscreteModel | Denoiser) -> list[float]:
    """Noises to look at, in [0, 1] pixel units: the same for all models, as far as this one was trained for them."""
    denoiser = as_denoiser(model)
    return [noise / 255 for noise in _NOISES_255 if denoiser.sigma_min <= noise / 255 <= denoiser.sigma_max]


@torch.no_grad()
def denoise_once(
    model: DiscreteModel | Denoiser, clean: Tensor, sigma: float, ids: tuple[str, ...]
) -> tuple[Tensor, Tensor]:
    """The same noise every time, and its removal in one call.

    Args:
        model: on the device of the images.
        clean: [N, C, H, W] float32 in [0, 1].
        sigma: noise, in [0, 1] pixel units.
        ids: of the images.

    Returns:
        Noisy and denoised images, as `clean`; both may leave [0, 1], the second is clamped.
    """
    noisy = clean + sigma * Noise(0, "fit/inspect", ids).normal(clean, "forward")
    denoiser = as_denoiser(model)
    parts = [denoiser.denoise(part, part.new_full((len(part),), sigma)) for part in noisy.split(64)]
    return noisy, torch.cat(parts).clamp(0, 1)


def _mse(x: Tensor, clean: Tensor) -> float:
    return (x - clean).square().mean().item()


def _psnr(mse: float) -> float:
    return -10 * math.log10(max(mse, 1e-12))
