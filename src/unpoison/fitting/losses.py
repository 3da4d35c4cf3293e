"""Losses of a diffusion network: of the noise, and of how sure it may be of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Loss = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


def epsilon_loss(output: Tensor, clean: Tensor, epsilon: Tensor, index: Tensor, abar: Tensor) -> Tensor:
    """Mean squared error of the predicted noise; v is left alone.

    Args:
        output: [N, 2C, H, W] epsilon | v of the network.
        clean: [N, C, H, W] image in [-1, 1].
        epsilon: [N, C, H, W] noise that was mixed in.
        index: [N] noise level of each image, on the CPU.
        abar: [T] float64 schedule, on the CPU.

    Returns:
        [N] float32.
    """
    return (output[:, : clean.shape[1]] - epsilon).square().flatten(1).mean(dim=1)


def hybrid_loss(output: Tensor, clean: Tensor, epsilon: Tensor, index: Tensor, abar: Tensor) -> Tensor:
    """Squared error of the noise plus T/1000 times the variational bound, which teaches v alone.

    Args:
        output: [N, 2C, H, W] epsilon | v of the network.
        clean: [N, C, H, W] image in [-1, 1].
        epsilon: [N, C, H, W] noise that was mixed in.
        index: [N] noise level of each image, on the CPU.
        abar: [T] float64 schedule, on the CPU.

    Returns:
        [N] float32.

    References:
        Improved DDPM (https://arxiv.org/abs/2102.09672), eq. 16; RESCALED_MSE of its code, which ECLIPSE uses.
    """
    squared = epsilon_loss(output, clean, epsilon, index, abar)
    predicted, v = output.chunk(2, dim=1)
    bound = variational_bound(predicted.detach(), v, clean, epsilon, index, abar)
    return squared + len(abar) / 1000 * bound


def variational_bound(
    predicted: Tensor, v: Tensor, clean: Tensor, epsilon: Tensor, index: Tensor, abar: Tensor
) -> Tensor:
    """One term of the variational bound for each image: KL(q || p) of its step, at index 0 the likelihood.

    With alpha_i = abar_i / abar_{i-1}, beta_i = 1 - alpha_i, bt_i = beta_i (1 - abar_{i-1}) / (1 - abar_i):
        q: mean over x0, variance bt_i;  p: mean over the predicted x0, log variance r log beta_i + (1 - r) log bt_i,
        r = (v + 1) / 2, bt_0 replaced by bt_1.
    Both means share their term in x_i, so only the error of the noise is left of their distance; x0 is not clamped.

    Args:
        predicted: [N, C, H, W] predicted noise.
        v: [N, C, H, W] interpolation value.
        clean: [N, C, H, W] image in [-1, 1].
        epsilon: [N, C, H, W] noise that was mixed in.
        index: [N] noise level of each image, on the CPU.
        abar: [T] float64 schedule, on the CPU.

    Returns:
        [N] float32, bits per dimension.
    """
    before = torch.cat([torch.ones(1, dtype=abar.dtype), abar[:-1]])
    beta = 1 - abar / before
    smallest = beta * (1 - before) / (1 - abar)
    smallest[0] = smallest[1]
    # Squared distance of the two means over bt, for a squared error of 1 in the noise.
    distance = beta.square() * before / ((1 - abar) * abar * smallest)

    def at(values: Tensor) -> Tensor:
        return values[index].to(clean.device, torch.float32).view(-1, 1, 1, 1)

    wider = (v + 1) / 2 * at((beta / smallest).log())  # log variance of p over bt
    divergence = 0.5 * ((1 + at(distance) * (epsilon - predicted).square()) * torch.exp(-wider) - 1 + wider)
    nats = divergence.flatten(1).mean(dim=1)
    first = torch.nonzero(index == 0)[:, 0]
    if len(first):
        mean = clean + at(((1 - abar) / abar).sqrt()) * (epsilon - predicted)  # the predicted x0
        log_deviation = 0.5 * (at(smallest.log()) + wider)
        rows = first.to(clean.device)
        surprise = -log_likelihood(clean[rows], mean[rows], log_deviation[rows])
        nats = nats.index_copy(0, rows, surprise.flatten(1).mean(dim=1))
    return nats / math.log(2)


def log_likelihood(image: Tensor, mean: Tensor, log_deviation: Tensor) -> Tensor:
    """Log probability of 8-bit values under a Gaussian cut into bins of one level, the outer bins open.

    The reference approximates the normal distribution function by a tanh; this is the function itself.

    Args:
        image: 8-bit values in [-1, 1].
        mean: of the Gaussian, same shape.
        log_deviation: log of its standard deviation, same shape.

    Returns:
        Same shape, nats.
    """
    inverse = torch.exp(-log_deviation)
    upper = torch.special.ndtr(inverse * (image - mean + 1 / 255))
    lower = torch.special.ndtr(inverse * (image - mean - 1 / 255))
    upper = torch.where(image > 0.999, 1.0, upper)
    lower = torch.where(image < -0.999, 0.0, lower)
    return (upper - lower).clamp(min=1e-12).log()


LOSSES: dict[str, Loss] = {"epsilon": epsilon_loss, "hybrid": hybrid_loss}
