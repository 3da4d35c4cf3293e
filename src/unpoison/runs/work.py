"""A run on its set: its purifier, its blocks, and how a few of its pictures are purified."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Event, Lock
from typing import Any

import torch

from unpoison.core.device import choose_device, processor, versions
from unpoison.core.errors import DataError
from unpoison.core.hashing import hash_json
from unpoison.core.images import ImageSet
from unpoison.core.manifest import Step
from unpoison.core.picture import Picture
from unpoison.core.pixels import images_per_call
from unpoison.core.progress import OnStep
from unpoison.core.threads import available_cores
from unpoison.purifiers.chain import Chain, build_purifier
from unpoison.purifiers.protocol import Purifier
from unpoison.runs.blocks import PurifiedPicture, finish_picture
from unpoison.runs.calls import purify_pictures
from unpoison.runs.memory import MemoryRoom
from unpoison.runs.preparing import findings, looks_at_set, prepare, prepare_in
from unpoison.runs.run import PurifyRun

_THREADS_BESIDE_ACCELERATOR = 3  # one block is decoded, one computed, one encoded


class Work:
    """A run on a set, with its purifier built once. Several threads may work on it.

    Args:
        image_set: what to purify.
        run: how.
        device: where to compute.
        batch_size: images on an accelerator at once; does not change the result.
        purifier: one that was built already, on the same device.

    Attributes:
        source: the set as it was given.
        image_set: what is purified of it: the set, or its copies.
    """

    def __init__(
        self,
        image_set: ImageSet,
        run: PurifyRun,
        *,
        device: str,
        batch_size: int = 256,
        purifier: Purifier | Chain | None = None,
    ):
        self.source, self.image_set, self.batch_size = image_set, image_set.copies(run.copies), batch_size
        self.device = choose_device(device)
        self.run = run.resolved(self.device)
        self.purifier = build_purifier(self.run.settings, device=self.device) if purifier is None else purifier
        self.blocks = list(self.image_set.blocks())
        on_cpu = self.device.type == "cpu"
        self.threads = min(torch.get_num_threads(), available_cores()) if on_cpu else _THREADS_BESIDE_ACCELERATOR
        # On the CPU every thread computes for itself; an accelerator is fed by one thread at a time.
        self._computing: AbstractContextManager[object] = nullcontext() if on_cpu else Lock()
        self._stopped = Event()
        self._room = MemoryRoom()

    def stop(self) -> None:
        """Make the threads at work give up after their current network call."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped.is_set()

    def prepare(self, folder: Path | None = None, *, on_step: OnStep | None = None) -> None:
        """Let a purifier that needs it look at the whole set, once, before any block.

        Args:
            folder: of the run; what was found is kept there, and read by whoever comes later.
            on_step: called as it goes on; its steps say what is being done.
        """
        if not looks_at_set(self.purifier):
            return
        if folder is None:
            self.purifier = prepare(self.purifier, self.image_set, seed=self.run.seed, on_step=on_step)
            return
        key = hash_json([self.header(), [self.image_set.stamp(rows) for rows in self.blocks]])
        self.purifier = prepare_in(folder, key, self.purifier, self.image_set, seed=self.run.seed, on_step=on_step)

    def header(self) -> dict[str, Any]:
        """What must be the same for a run to be resumed."""
        image_set = self.image_set
        return {
            "method": self.run.method,
            "settings": self.run.describe(),
            "seed": self.run.seed,
            "weights": dict(self.purifier.weights),
            "source": hash_json([image_set.ids, image_set.labels.tolist(), image_set.sizes.tolist()]),
            "versions": versions(),
            "device": self.device.type,
            "processor": processor(self.device, self.run.precision),
            **self._prepared(),
        }

    def step(self, *, source: str, result: str, facts: Mapping[str, Any]) -> Step:
        """The manifest's entry.

        Args:
            source: content hash of the set before.
            result: content hash of the set made.
            facts: what was measured.
        """
        strength = self.purifier.strength_255
        return Step(
            action="purify",
            method=self.run.method,
            settings=self.run.describe(),
            seed=self.run.seed,
            source=source,
            result=result,
            versions=versions(),
            device=self.device.type,
            processor=processor(self.device, self.run.precision),
            weights=dict(self.purifier.weights),
            facts={**({} if strength is None else {"sigma_255": round(strength, 4)}), **self._prepared(), **facts},
        )

    def _prepared(self) -> dict[str, str]:
        """Hash of what the purifier has found by looking at the set, if it had to."""
        found = findings(self.purifier)
        return {"prepared": hash_json(found)} if found else {}

    def cut(self, number: int) -> list[list[int]]:
        """The rows of a block in the pieces that a thread takes at a time.

        On the CPU a piece is one network call, so that all cores have something to do; on an accelerator the block.
        """
        block = self.blocks[number]
        if self.device.type != "cpu":
            return [list(block)]
        by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for row in block:
            by_size[tuple(self.image_set.sizes[row].tolist())].append(row)
        pieces = []
        for (height, width), rows in by_size.items():
            call = images_per_call(self.run.microbatch, max(1, height * width))
            pieces += [rows[start : start + call] for start in range(0, len(rows), call)]
        return pieces

    def purify_rows(self, rows: Sequence[int], *, png: bool) -> list[PurifiedPicture]:
        """Decode and purify some pictures.

        Args:
            rows: which.
            png: give them as PNG.

        Raises:
            DataError: one is broken, or has changed its size since the set was read.
            Stopped: `stop` was called meanwhile.
        """
        pixels = int(self.image_set.sizes[list(rows)].prod(axis=1, dtype="int64").sum())
        with self._room.take(pixels, tiled=self.purifier.halo is not None, given_up=lambda: self.stopped):
            return self._purify_rows(rows, png=png)

    def _purify_rows(self, rows: Sequence[int], *, png: bool) -> list[PurifiedPicture]:
        pictures = [self._decode(row) for row in rows]
        with self._computing:
            purified = purify_pictures(
                self.purifier,
                [picture.rgb for picture in pictures],
                [self.image_set.ids[row] for row in rows],
                seed=self.run.seed,
                microbatch=self.run.microbatch,
                batch_size=self.batch_size,
                device=self.device,
                should_stop=self._stopped.is_set,
            )
        labels = self.image_set.labels[list(rows)].tolist()
        finished = zip(pictures, purified, labels, strict=True)
        return [finish_picture(picture, rgb, label, png=png) for picture, rgb, label in finished]

    def _decode(self, row: int) -> Picture:
        picture = self.image_set.picture(row)
        if picture.rgb.shape[:2] != tuple(self.image_set.sizes[row]):
            raise DataError(
                self.image_set.name,
                "the picture has another size than at the start of the run",
                "Let nobody change the set meanwhile, and give the command again",
                record=self.image_set.ids[row],
            )
        return picture
