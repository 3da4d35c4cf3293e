"""JPEG for a whole batch at once."""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from unpoison.core.pixels import to_float, to_uint8

_UNIT = 16  # pixels of a side that JPEG with half the colour resolution works on at once
_QUALITY = 10, 100  # drawn from here on, up to below that


def squeeze(pictures: Tensor, *, generator: torch.Generator) -> Tensor:
    """Save a batch as one large JPEG, at a random quality, and read it back.

    Side by side at multiples of 16 pixels, pictures are compressed as each would be alone; only the smoothing of the
    colours when they are read reaches over an edge.

    Args:
        pictures: [N, 3, H, W] float32 in [0, 1]; not changed.
        generator: source of the quality.

    Returns:
        [N, 3, H, W] float32 in [0, 1], whole 8-bit levels.
    """
    count, _, height, width = pictures.shape
    quality = int(torch.randint(*_QUALITY, (1,), generator=generator, device=generator.device))
    padded = F.pad(pictures, (0, -width % _UNIT, 0, -height % _UNIT), mode="replicate")
    stack = to_uint8(padded)  # [N, H', W, 3]
    buffer = io.BytesIO()
    # One above the other would be longer than JPEG allows: as square as it gets.
    columns = math.ceil(count**0.5)
    stack = np.concatenate([stack, np.zeros((-count % columns, *stack.shape[1:]), np.uint8)])
    rows, (tall, wide) = len(stack) // columns, stack.shape[1:3]
    canvas = stack.reshape(rows, columns, tall, wide, 3).swapaxes(1, 2).reshape(rows * tall, columns * wide, 3)
    Image.fromarray(canvas).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    with Image.open(buffer) as image:
        read = np.asarray(image.convert("RGB"))
    stack = read.reshape(rows, tall, columns, wide, 3).swapaxes(1, 2).reshape(-1, tall, wide, 3)
    return to_float(stack[:count, :height, :width]).to(pictures.device)
