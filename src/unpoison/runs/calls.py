"""One block through a purifier, in network calls of fixed shapes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from unpoison.core.errors import ModelError
from unpoison.core.noise import Noise, Window, run_noise
from unpoison.core.pixels import images_per_call, in_calls, to_float, to_uint8
from unpoison.dynamics.steps import ImageStep, OnImageStep, ShouldStop, check_stop
from unpoison.runs.tiling import tiles


class Purifies(Protocol):
    """What a block needs of a purifier, or of a chain of them; see `base.Purifier`."""

    @property
    def halo(self) -> int | None: ...

    def purify(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor: ...


def purify_pictures(
    purifier: Purifies,
    pictures: Sequence[np.ndarray],
    ids: Sequence[str],
    *,
    seed: int,
    microbatch: int,
    batch_size: int,
    device: torch.device,
    should_stop: ShouldStop | None = None,
) -> list[np.ndarray]:
    """Purify the pictures of a block.

    The shape of a call follows from the size of the picture alone, see `in_calls`. Large pictures go tile by tile where
    the purifier's halo is known, so that memory is bounded.

    Args:
        purifier: what to apply.
        pictures: [H, W, 3] uint8 each; sizes may differ.
        ids: one per picture.
        seed: the run's seed.
        microbatch: images of a call, fewer if they are larger than 32x32.
        batch_size: images on the device at once, fewer if they are larger than 32x32; does not change the result.
        device: where to compute.
        should_stop: asked before each network call.

    Returns:
        The purified pictures, [H, W, 3] uint8, in the same order.

    Raises:
        Stopped: `should_stop` said so.
        ModelError: the weights are broken.
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
                results = purify_images(
                    purifier,
                    images,
                    [ids[row] for row in chosen],
                    seed=seed,
                    call=call,
                    place=tile.place,
                    should_stop=should_stop,
                )
                for row, result in zip(chosen, to_uint8(results), strict=True):
                    purified[row][tile.core] = result[tile.inside]
    return purified


@torch.inference_mode()
def purify_images(
    purifier: Purifies,
    images: Tensor,
    ids: Sequence[str],
    *,
    seed: int,
    call: int,
    place: Window | None = None,
    on_step: Callable[[list[int], ImageStep], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> Tensor:
    """Purify images of one size, in calls of one shape.

    Args:
        purifier: what to apply.
        images: [N, 3, H, W] float32 in [0, 1], on the purifier's device.
        ids: one per image.
        seed: the run's seed.
        call: images of a network call.
        place: where the images lie in their pictures, if they are tiles.
        on_step: called after each step of each call with the rows that are in it, of which the last may come twice.
        should_stop: asked before each network call.

    Returns:
        [N, 3, H, W] float32 in [0, 1].

    Raises:
        Stopped: `should_stop` said so.
        ModelError: the weights are broken.
    """

    def one_call(rows: list[int]) -> Tensor:
        check_stop(should_stop)  # here too, for methods without a network
        noise = run_noise(seed, [ids[row] for row in rows], place)
        tell = None if on_step is None else partial(on_step, rows)
        return purifier.purify(images[rows], noise=noise, on_step=tell, should_stop=should_stop)

    return _refuse_nan(torch.cat(in_calls(len(images), call, one_call)))


def _refuse_nan(images: Tensor) -> Tensor:
    """Purified images as they are; broken weights would else make black ones, which look like a result.

    Raises:
        ModelError: a value is not a number.
    """
    if images.isnan().any():
        raise ModelError("the network gives values that are not numbers; its weights are broken: use another model")
    return images
