"""The borders between pictures at rest (uint8) and batches in code (float32 in [0, 1]), and the size of a batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

# Pixels of a call for each image of the microbatch: as many as a 32x32 image has. With the usual 64 images, pictures
# over 181 pixels a side go one by one, and none is computed only to fill up a call.
PIXELS_PER_IMAGE = 1024


def to_float(images: np.ndarray) -> Tensor:
    """Pictures to a batch.

    Args:
        images: [N, H, W, C] uint8.

    Returns:
        [N, C, H, W] float32 in [0, 1], on the CPU.
    """
    # Laid out by channels: convolutions choose their arithmetic by layout, and a batch must not depend on its history.
    planes = np.array(images.transpose(0, 3, 1, 2), order="C")
    return torch.from_numpy(planes).float().div_(255)


def as_unit(images: Tensor) -> Tensor:
    """A batch of pictures as they are stored, or floats already, as floats in [0, 1] on the same device.

    Args:
        images: [N, C, H, W] uint8, or float32, which comes back as it is.
    """
    return images if images.is_floating_point() else images.float().div_(255)


def to_uint8(images: Tensor) -> np.ndarray:
    """A batch to pictures: clamp, times 255, round. The only place where floats become 8 bits.

    Args:
        images: [N, C, H, W] float; values outside [0, 1] are clamped.

    Returns:
        [N, H, W, C] uint8.
    """
    levels = images.detach().float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def luma(images: Tensor) -> Tensor:
    """Grey value of every pixel by Pillow's integer formula, (19595 R + 38470 G + 7471 B + 32768) >> 16.

    Args:
        images: [N, 3, H, W] float in [0, 1]; rounded to 8 bits first.

    Returns:
        [N, 1, H, W] float32 in [0, 1], a whole number of levels over 255.
    """
    levels = images.clamp(0, 1).mul(255).round().to(torch.int32)
    red, green, blue = levels[:, 0:1], levels[:, 1:2], levels[:, 2:3]
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).float().div(255)


def smooth_luma(images: Tensor) -> Tensor:
    """Grey value of every pixel, not rounded, so that gradients flow through it.

    Term by term: the last bits of a sum over channels are not the same on every processor.

    Args:
        images: [N, 3, H, W] float.

    Returns:
        [N, 1, H, W] float.
    """
    return 0.299 * images[:, 0:1] + 0.587 * images[:, 1:2] + 0.114 * images[:, 2:3]


def images_per_call(microbatch: int, area: int) -> int:
    """How many images go together, in a call or on the device.

    Args:
        microbatch: the most.
        area: pixels of each.
    """
    return max(1, min(microbatch, microbatch * PIXELS_PER_IMAGE // area))


def in_calls(count: int, call: int, compute: Callable[[list[int]], Tensor]) -> list[Tensor]:
    """Compute images in calls of one shape: what is too short for a call is filled up with its last image.

    Without that, the last bits of float arithmetic, and so now and then a pixel, would depend on how a set was cut up.

    Args:
        count: of images.
        call: how many go together.
        compute: given `call` rows, the last of them repeated where too few are left, one result for each, [call, ...].

    Returns:
        The results of the `count` images, in parts.
    """
    parts = []
    for start in range(0, count, call):
        rows = list(range(start, min(start + call, count)))
        parts.append(compute(rows + rows[-1:] * (call - len(rows)))[: len(rows)])
    return parts
