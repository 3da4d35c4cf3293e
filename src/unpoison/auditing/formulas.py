"""Formulas of the theory behind noise and denoising: what is left of a known perturbation d of pictures x."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unpoison.core.noise import Noise
from unpoison.core.pixels import luma
from unpoison.nets.protocols import Denoiser
from unpoison.nets.schedules import sigma_to_abar

COARSE, FINE = 1 / 8, 1 / 4  # cycles a pixel; half a cycle is the finest that a row or column of pixels can hold
_BATCH = 64


def snr(abar: float) -> float:
    """How much more of the variance is picture than noise, for data in [-1, 1]."""
    return abar / (1 - abar)


def mean_square(difference: Tensor) -> float:
    """E|d|^2 of pictures [N, C, H, W]."""
    return float(difference.double().square().flatten(1).sum(dim=1).mean())


def kl_bound(squared_length: float, sigma: float) -> float:
    """Most that the laws of poisoned and of clean pictures can differ under noise: KL <= 2 SNR E|d|^2, in nats.

    With SNR = 1 / (4 sigma^2) that is E|d|^2 / (2 sigma^2), the divergence of two Gaussians of one sigma, d apart. For
    whole sets it follows from the convexity of KL, each poisoned picture being paired with its original.

    Args:
        squared_length: E|d|^2 in [0, 1] units.
        sigma: standard deviation of the noise in the same units.

    Examples:
        >>> round(kl_bound(1.0, 0.5), 9)
        2.0
    """
    return 2 * snr(sigma_to_abar(sigma)) * squared_length


def bounded_sigma(squared_length: float, nats: float) -> float:
    """The noise at which `kl_bound` comes down to so many nats."""
    return math.sqrt(squared_length / (2 * nats))


def training_bound(purified: Tensor, others: Tensor, *, grey: float, sigma: float) -> float:
    """`kl_bound` of what a classifier sees that is trained on either set, in grey now and then and under fresh noise.

    Both sets come through the purifier with the same noise, picture by picture, so that r = P(x + d) - P(x) takes the
    place of d. The coin for grey falls alike for both; KL of the pairs of coin and picture bounds that of the pictures.

    Args:
        purified: P(x + d), [N, 3, H, W] float32 in [0, 1].
        others: P(x), the same pictures.
        grey: probability with which a picture is turned into its grey value.
        sigma: standard deviation of the fresh noise.
    """
    in_colour = mean_square(purified - others)
    in_grey = 3 * mean_square(luma(purified) - luma(others))
    return kl_bound((1 - grey) * in_colour + grey * in_grey, sigma)


def residual_ratio(residual: Tensor, difference: Tensor) -> float:
    """rho = <r, d> / <d, d> over all entries; 0 where there is no d.

    Args:
        residual: r, of any shape, real or complex.
        difference: d, of the same shape.
    """
    squared = float(difference.abs().double().square().sum())
    if not squared:
        return 0.0
    along = (residual * difference.conj()).sum(dtype=torch.complex128)
    return float(along.real) / squared


def energy_ratio(residual: Tensor, difference: Tensor) -> float:
    """|r|^2 / |d|^2 over all entries; 0 where there is no d."""
    squared = float(difference.abs().double().square().sum())
    return float(residual.abs().double().square().sum()) / squared if squared else 0.0


def bands(difference: Tensor) -> dict[str, Tensor]:
    """Frequencies of pictures in three bands, by their distance from 0. The norm is orthonormal: sums of squares stay.

    Args:
        difference: [N, C, H, W].

    Returns:
        `coarse` below 1/8 cycle a pixel, waves of more than 8 pixels; `fine` from 1/4 on, under 4 pixels; `middle`
        between them: name -> [N, C, n] complex.
    """
    height, width = difference.shape[2:]
    rows, columns = torch.fft.fftfreq(height), torch.fft.fftfreq(width)
    radius = (rows[:, None].square() + columns.square()).sqrt()
    spectrum = torch.fft.fft2(difference, norm="ortho")
    among = {"coarse": radius < COARSE, "middle": (radius >= COARSE) & (radius < FINE), "fine": radius >= FINE}
    return {name: spectrum[..., inside] for name, inside in among.items()}


def class_means(difference: Tensor, labels: Tensor) -> Tensor:
    """The mean of each class at every one of its pictures; squares then sum to what a class has in common.

    Args:
        difference: [N, C, H, W].
        labels: [N] class indices.

    Returns:
        [N, C, H, W].
    """
    means = torch.zeros(int(labels.max()) + 1, *difference.shape[1:])
    means.index_add_(0, labels, difference)
    counts = torch.bincount(labels).clamp(min=1).view(-1, 1, 1, 1)
    return (means / counts)[labels]


def noise_error(images: Tensor, denoiser: Denoiser, *, sigma: float, noise: Noise) -> float:
    """E|eps_hat - eps|^2 a value: how far a denoiser misses the noise eps, eps_hat = (x + sigma eps - D) / sigma.

    The square of what noise stays, or is taken too much, over that of the noise itself: 1 for a denoiser that does
    nothing.

    Args:
        images: [N, C, H, W] float32 in [0, 1], on the CPU.
        denoiser: D.
        sigma: standard deviation of the noise.
        noise: source of it, keyed by image; one draw for each sigma.
    """
    drawn = noise.normal(images, f"{255 * sigma:.4g}")
    error = 0.0
    for start in range(0, len(images), _BATCH):
        rows = slice(start, start + _BATCH)
        noisy = images[rows] + sigma * drawn[rows]
        clean = denoiser.denoise(noisy, torch.full((len(noisy),), sigma))
        error += float(((noisy - clean) / sigma - drawn[rows]).double().square().sum())
    return error / images.numel()
