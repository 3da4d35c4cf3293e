"""Random crop, mirror and cutout, one draw per image, for a whole batch at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def crop_and_flip(
    images: Tensor, *, padding: int, flip: bool, generator: torch.Generator, reflect: bool = False
) -> Tensor:
    """Cut each image out of a frame at a place of its own, and mirror half of them.

    Args:
        images: [N, C, H, W], uint8 or float; not changed.
        padding: width of the frame in pixels; 0 leaves the place as it is.
        flip: mirror an image left to right with probability one half.
        generator: source of places and mirrors, on the device of `images`.
        reflect: the frame mirrors the image without repeating its edge; black if not. Needs a padding below the sides.

    Returns:
        [N, C, H, W], same dtype and device.
    """
    count, _, height, width = images.shape
    device = images.device
    tops, lefts = torch.randint(0, 2 * padding + 1, (2, count, 1), generator=generator, device=device)
    rows = tops + torch.arange(height, device=device)
    columns = lefts + torch.arange(width, device=device)
    if flip:
        mirrored = torch.rand(count, 1, generator=generator, device=device) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    framed = _mirror_frame(images, padding) if reflect else F.pad(images, (padding,) * 4)
    each = torch.arange(count, device=device)[:, None, None]
    # Indexing by image, row and column at once moves the channels to the end.
    return framed[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


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


def _mirror_frame(images: Tensor, padding: int) -> Tensor:
    # PyTorch's own reflection refuses bytes.
    rows, columns = (_fold(length, padding).to(images.device) for length in images.shape[2:])
    return images[:, :, rows][:, :, :, columns]


def _fold(length: int, padding: int) -> Tensor:
    """The places of a framed line [length + 2 padding] in the line itself, 0 to length - 1."""
    last = length - 1
    return last - (last - torch.arange(-padding, length + padding).abs()).abs()
