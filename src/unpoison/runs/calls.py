"""One block through a purifier, in network calls of fixed shapes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from unpoison.core.errors import ModelError
from unpoison.core.noise import Noise, Window
from unpoison.core.pixels import images_per_call, to_float, to_uint8
from unpoison.core.progress import OnStep
from unpoison.runs.tiling import tiles


class Purifies(Protocol):
    """What a block needs of a purifier, or of a chain of them; see `base.Purifier`."""

    @property
    def halo(self) -> int | None: ...

    def purify(self, images: Tensor, *, noise: Noise, on_step: OnStep | None = None) -> Tensor: ...


def purify_pictures(
    purifier: Purifies,
    pictures: Sequence[np.ndarray],
    ids: Sequence[str],
    *,
    seed: int,
    microbatch: int,
    batch_size: int,
    device: torch.device,
) -> list[np.ndarray]:
    """Purify the pictures of a block.

    The shape of a call follows from the size of the picture alone: short microbatches are filled up with copies of
    their last image. Without that, the last bits of float arithmetic, and so now and then a pixel, would depend on how
    a set was cut up. Large pictures go tile by tile where the purifier's halo is known, so that memory is bounded.

    Args:
        purifier: what to apply.
        pictures: [H, W, 3] uint8 each; sizes may differ.
        ids: one per picture.
        seed: the run's seed.
        microbatch: images of a call, fewer if they are larger than 32x32.
        batch_size: images on the device at once, fewer if they are larger than 32x32; does not change the result.
        device: where to compute.

    Returns:
        The purified pictures, [H, W, 3] uint8, in the same order.
    """
    by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for row, picture in enumerate(pictures):
        by_size[picture.shape].append(row)
    purified = [np.empty_like(picture) for picture in pictures]
    for (height, width, _), rows in by_size.items():
        for tile in tiles(height, width, purifier.halo):
            call = images_per_call(microbatch, tile.area)
            group = max(1, images_per_call(batch_size, tile.area) // call) * call
            for start in range(0, len(rows), group):
                chosen = rows[start : start + group]
                images = to_float(np.stack([pictures[row][tile.window] for row in chosen])).to(device)
                results = _purify_calls(purifier, images, [ids[row] for row in chosen], seed, call, tile.place)
                for row, result in zip(chosen, results, strict=True):
                    purified[row][tile.core] = result[tile.inside]
    return purified


@torch.inference_mode()
def _purify_calls(
    purifier: Purifies, images: Tensor, ids: list[str], seed: int, call: int, place: Window | None
) -> np.ndarray:
    """Purify a group, `call` images at a time: [N, 3, H, W] float32 to [N, H, W, 3] uint8."""
    parts = []
    for first in range(0, len(images), call):
        batch, batch_ids = images[first : first + call], ids[first : first + call]
        missing = call - len(batch)
        if missing:
            batch = torch.cat([batch, batch[-1:].expand(missing, -1, -1, -1)])
        noise = Noise(seed, "purify", [*batch_ids, *batch_ids[-1:] * missing], place)
        parts.append(purifier.purify(batch, noise=noise)[: call - missing])
    return to_uint8(refuse_nan(torch.cat(parts)))


def refuse_nan(images: Tensor) -> Tensor:
    """Purified images as they are; broken weights would else make black ones, which look like a result.

    Raises:
        ModelError: a value is not a number.
    """
    if images.isnan().any():
        raise ModelError("the network gives values that are not numbers; its weights are broken: use another model")
    return images
