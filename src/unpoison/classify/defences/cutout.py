"""Cutout: a square of every picture is covered."""

from __future__ import annotations

import torch
from torch import Tensor

from unpoison.classify.defences.protocol import Defence


class Cutout(Defence):
    """A net that must do without any one part of a picture leans less on a mark in one place.

    Its setting is the training's own, `cutout`, the side of the square; published recipes have it too.
    """

    profile = "cutout"


def cut_out(images: Tensor, *, side: int, fill: Tensor, generator: torch.Generator) -> Tensor:
    """Cover a square at a random place inside each image.

    Args:
        images: [N, C, H, W]; not changed.
        side: of the square in pixels, at most that of the image.
        fill: the covering colour, broadcast to [N, C, 1, 1].
        generator: source of places, on the device of `images`.

    References:
        DeVries and Taylor, Improved regularization of convolutional neural networks with cutout, 2017,
        https://arxiv.org/abs/1708.04552
    """
    count, _, height, width = images.shape
    covered = [
        _covered(length, side, torch.randint(length - side + 1, (count, 1), generator=generator, device=images.device))
        for length in (height, width)
    ]
    return torch.where(covered[0][:, None, :, None] & covered[1][:, None, None, :], fill, images)


def _covered(length: int, side: int, starts: Tensor) -> Tensor:
    """[N, length] bool: which places lie in the stretch of `side` that begins at `starts` [N, 1]."""
    places = torch.arange(length, device=starts.device)
    return (places >= starts) & (places < starts + side)
