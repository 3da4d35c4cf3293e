"""A purifier applied to what is held in memory. The bytes are those of a run into a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unpoison.core.device import same_bits
from unpoison.core.errors import SettingsError
from unpoison.core.hashing import hash_pictures
from unpoison.core.images import ArrayImageSet, ImageSet, row_ids
from unpoison.core.manifest import Step
from unpoison.core.notes import tell
from unpoison.core.picture import note_modes
from unpoison.core.pixels import images_per_call, to_uint8
from unpoison.core.progress import OnStep, StepInfo
from unpoison.core.threads import available_cores
from unpoison.data.pictures.loose import PictureListSet, from_channels
from unpoison.nets.protocols import Denoiser
from unpoison.purifiers.chain import Chain, build_purifier
from unpoison.purifiers.methods import METHODS, load_purifier
from unpoison.purifiers.protocol import Purifier
from unpoison.runs.blocks import PurifiedPicture, as_rgb
from unpoison.runs.calls import purify_images
from unpoison.runs.changes import change_facts
from unpoison.runs.measuring import Change
from unpoison.runs.photographs import warn_if_strange
from unpoison.runs.pipeline import make_blocks
from unpoison.runs.preparing import looks_at_set, prepare
from unpoison.runs.run import PurifyRun
from unpoison.runs.tiling import Tile, tiles
from unpoison.runs.work import Work


def purify_in_memory(
    image_set: ImageSet, run: PurifyRun, *, device: str = "auto", on_step: OnStep | None = None
) -> tuple[ArrayImageSet, Step]:
    """Purify a set of one size in RGB, with the entry for its manifest.

    Raises:
        SettingsError: there are pictures of several sizes, or none.
    """
    image_set.check_headers()  # before anything is computed
    sizes = np.unique(image_set.sizes, axis=0)
    if len(sizes) != 1:
        raise SettingsError(f"{image_set.name} holds pictures of {len(sizes)} sizes; in memory they must have one")
    work = Work(image_set, run, device=device)
    image_set = work.image_set
    images = np.empty((len(image_set), *sizes[0].tolist(), 3), np.uint8)
    source: list[bytes] = []
    result: list[bytes] = []
    changes: list[Change] = []
    for row, picture in enumerate(_each(work, png=False, on_step=on_step)):
        images[row] = as_rgb(np.asarray(picture.data))
        source.append(picture.source_hash)
        result.append(picture.result_hash)
        changes.append(picture.change)
    purified = ArrayImageSet(
        images, image_set.labels, class_names=image_set.class_names, ids=image_set.ids, name=image_set.name
    )
    purified.inherit(image_set)
    facts = change_facts(image_set, changes)
    source_hash = hash_pictures(source[: len(work.source)])  # the first of all copies
    return purified, work.step(source=source_hash, result=hash_pictures(result), facts=facts)


class Application:
    """A run without files. Its network is loaded at the first use.

    Args:
        run: what is to be done.
        device: where to compute.
        denoiser: a user's own model for a purifier that takes one, in place of the one that the settings name.
        on_step: called as pictures are done, with their number.

    Raises:
        SettingsError: an own model for a method that takes none.
    """

    def __init__(
        self,
        run: PurifyRun,
        *,
        device: torch.device,
        denoiser: Denoiser | None = None,
        on_step: OnStep | None = None,
    ):
        self.run, self.device, self.denoiser, self._on_step = run.resolved(device), device, denoiser, on_step
        if denoiser is not None and not any(load_purifier(name).takes_denoiser for name in run.settings):
            takers = [f"'{name}'" for name in METHODS if load_purifier(name).takes_denoiser]
            raise SettingsError(
                f"method '{run.method}' takes its model as a file; a model in memory goes with method "
                f"{' or '.join(takers)}"
            )

    @cached_property
    def purifier(self) -> Purifier | Chain:
        """The purifier, with its weights."""
        return build_purifier(self.run.settings, device=self.device, denoiser=self.denoiser)

    def purify_set(self, image_set: ImageSet) -> ImageSet:
        """Purify a set of any sizes: same ids, or those of its copies, labels and order; grey and transparency stay."""
        pictures = [from_channels(array) for array in self.purify_each(image_set)]
        image_set = image_set.copies(self.run.copies)
        about: dict[str, Any] = {"class_names": image_set.class_names, "ids": image_set.ids, "name": image_set.name}
        one_kind = {(picture.rgb.shape, picture.mode) for picture in pictures}
        purified: ImageSet
        if len(one_kind) == 1 and pictures[0].mode == "RGB":
            purified = ArrayImageSet(np.stack([picture.rgb for picture in pictures]), image_set.labels, **about)
        else:
            purified = PictureListSet(pictures, image_set.labels, **about)
        purified.inherit(image_set)
        return purified

    def purify_each(self, image_set: ImageSet) -> Iterator[np.ndarray]:
        """Purify the pictures of a set one after the other, [H, W, C] uint8 each, in the channels they had."""
        for picture in self._purify(image_set, png=False):
            yield np.asarray(picture.data)

    def purify_to_png(self, image_set: ImageSet) -> Iterator[bytes]:
        """Like `purify_each`, as PNG."""
        for picture in self._purify(image_set, png=True):
            yield bytes(picture.data)

    def _purify(self, image_set: ImageSet, *, png: bool) -> Iterator[PurifiedPicture]:
        if not len(image_set):
            raise SettingsError(f"{image_set.name} holds no pictures to purify")
        image_set.check_headers()  # before anything is computed
        if self.denoiser is None:
            warn_if_strange(image_set, self.run.settings)
        work = Work(image_set, self._unpadded(len(image_set)), device=str(self.device), purifier=self.purifier)
        modes: Counter[str] = Counter()
        for picture in _each(work, png=png, on_step=self._on_step):
            yield picture
            modes[picture.mode] += 1
        tell(image_set.name, note_modes(modes))

    def _unpadded(self, count: int) -> PurifyRun:
        """The run, in calls of no more images than there are where the bytes do not depend on that: in int8."""
        if self.denoiser is not None or self.run.precision != "int8":
            return self.run
        return replace(self.run, microbatch=max(1, min(count, self.run.microbatch)))

    def purify_floats(self, images: Tensor, *, ids: Sequence[str] | None = None) -> Tensor:
        """Purify images that were never 8 bits, and do not round the result to them.

        Args:
            images: [N, 3, H, W] float32 in [0, 1] on any device.
            ids: one per image, by which noise is drawn; the row if left out.

        Returns:
            [N, 3, H, W] float32 in [0, 1] on the same device.
        """
        ids = row_ids(len(images)) if ids is None else list(ids)
        microbatch = self._unpadded(len(images)).microbatch
        purified = torch.empty_like(images)  # made outside of inference mode, so that the user may train on it
        height, width = images.shape[2:]
        purifier = self.purifier
        if looks_at_set(purifier):
            shown = ArrayImageSet(to_uint8(images), np.full(len(images), -1), class_names=(), ids=ids)
            purifier = prepare(purifier, shown, seed=self.run.seed)

        def one_call(tile: Tile, rows: slice, call: int) -> None:
            batch = images[rows, :, *tile.window].to(self.device).contiguous()  # layout of a file's
            result = purify_images(purifier, batch, ids[rows], seed=self.run.seed, call=call, place=tile.place)
            purified[rows, :, *tile.core] = result[:, :, *tile.inside].clamp(0, 1)

        cut = list(tiles(height, width, purifier.halo))
        threads = min(torch.get_num_threads(), available_cores()) if self.device.type == "cpu" else 1
        with same_bits(self.device), ThreadPoolExecutor(threads) as pool:
            for number, tile in enumerate(cut):
                call = images_per_call(microbatch, tile.area)
                starts = range(0, len(images), call)
                done = pool.map(lambda start, t=tile, c=call: one_call(t, slice(start, start + c), c), starts)
                for start, _ in zip(starts, done, strict=True):
                    if self._on_step:
                        through = number * len(images) + min(start + call, len(images))
                        self._on_step(StepInfo(through // len(cut), len(images)))
        return purified


def _each(work: Work, *, png: bool, on_step: OnStep | None) -> Iterator[PurifiedPicture]:
    """The pictures of a run, purified one after the other."""
    work.prepare(on_step=on_step)
    done, total = 0, len(work.image_set)

    def on_pictures(count: int) -> None:
        if on_step:
            on_step(StepInfo(done + count, total))

    numbers = range(len(work.blocks))
    with closing(make_blocks(work, numbers, lambda _, __, block: block, png=png, on_pictures=on_pictures)) as blocks:
        for block in blocks:
            yield from block
            done += len(block)
            on_pictures(0)
