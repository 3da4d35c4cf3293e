"""Random crop and mirror, one draw per image, for a whole batch at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def crop_and_flip(images: Tensor, *, padding: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Cut each image out of a black frame at a place of its own, and mirror half of them.

    Args:
        images: [N, C, H, W], uint8 or float; not changed.
        padding: width of the frame in pixels; 0 leaves the place as it is.
        flip: mirror an image left to right with probability one half.
        generator: source of places and mirrors, on the device of `images`.

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
    framed = F.pad(images, (padding,) * 4)
    each = torch.arange(count, device=device)[:, None, None]
    # Indexing by image, row and column at once moves the channels to the end.
    return framed[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
