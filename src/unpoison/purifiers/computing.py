"""One block through a purifier, in network calls of one fixed shape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from unpoison.core.noise import Noise
from unpoison.core.pixels import to_float, to_uint8
from unpoison.core.progress import OnStep

MICROBATCH_PIXELS = 1_048_576  # keeps the memory of a call the same whatever the size of the pictures


class Purifies(Protocol):
    """The one method of a purifier, or of a chain of them, that a block needs."""

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

    Every call has the same shape for a given picture size: short microbatches are filled up with copies of their
    last image. Without that, the last bits of float arithmetic, and so now and then a pixel, would depend on how a
    set was cut up.

    Args:
        purifier: what to apply.
        pictures: [H, W, 3] uint8 each; sizes may differ.
        ids: one per picture.
        seed: the run's seed.
        microbatch: images of a call, fewer for pictures that are large.
        batch_size: images that are on the device at once; does not change the result.
        device: where to compute.

    Returns:
        The purified pictures, [H, W, 3] uint8, in the same order.
    """
    by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for row, picture in enumerate(pictures):
        by_size[picture.shape].append(row)
    purified: list[np.ndarray] = [np.empty(0, np.uint8)] * len(pictures)
    for (height, width, _), rows in by_size.items():
        call = max(1, min(microbatch, MICROBATCH_PIXELS // (height * width)))
        group = max(1, batch_size // call) * call
        for start in range(0, len(rows), group):
            chosen = rows[start : start + group]
            images = to_float(np.stack([pictures[row] for row in chosen])).to(device)
            parts = [
                _purify_call(
                    purifier,
                    images[first : first + call],
                    [ids[row] for row in chosen[first : first + call]],
                    seed,
                    call,
                )
                for first in range(0, len(chosen), call)
            ]
            for row, result in zip(chosen, to_uint8(torch.cat(parts)), strict=True):
                purified[row] = result
    return purified


@torch.inference_mode()
def _purify_call(purifier: Purifies, images: Tensor, ids: list[str], seed: int, call: int) -> Tensor:
    missing = call - len(images)
    padded = torch.cat([images, images[-1:].expand(missing, -1, -1, -1)]) if missing else images
    noise = Noise(seed, "purify", [*ids, *ids[-1:] * missing])
    return purifier.purify(padded, noise=noise)[: len(images)]
