"""A run on its set: what is to be done, and the loop that does it block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unpoison.core.device import choose_device, versions
from unpoison.core.hashing import hash_json, hash_picture
from unpoison.core.images import ImageSet, Picture
from unpoison.core.manifest import Step
from unpoison.core.progress import OnStep, StepInfo
from unpoison.core.settings import Settings
from unpoison.purifiers.blocks import Block
from unpoison.purifiers.building import build_purifier
from unpoison.purifiers.computing import purify_pictures


@dataclass(frozen=True)
class PurifyRun:
    """What is to be done to a set. Equal runs on equal machines give equal bytes.

    Args:
        settings: purifier name -> its settings, in the order of the chain; `purifier_settings` makes it.
        seed: seed of all noise.
        microbatch: images of one network call.
    """

    settings: Mapping[str, Settings]
    seed: int = 0
    microbatch: int = 64

    @property
    def method(self) -> str:
        """The name of the method, chains with `+`."""
        return "+".join(self.settings)

    def describe(self) -> dict[str, Any]:
        """The settings as a manifest keeps them: weight files by name, without their folder."""
        described: dict[str, Any] = {}
        for name, settings in self.settings.items():
            fields = settings.model_dump(mode="json")
            if fields.get("model"):
                fields["model"] = Path(fields["model"]).name
            described[name] = fields
        return {**described, "microbatch": self.microbatch}


class Work:
    """A run on a set, with its purifier built once.

    Args:
        image_set: what to purify.
        run: how.
        device: where to compute.
        batch_size: images on the device at once; does not change the result.
    """

    def __init__(self, image_set: ImageSet, run: PurifyRun, *, device: str, batch_size: int):
        self.image_set, self.run, self.batch_size = image_set, run, batch_size
        self.device = choose_device(device)
        self.purifier = build_purifier(run.settings, device=self.device)
        self.blocks = list(image_set.blocks())

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
        }

    def step(self, *, source: str, result: str) -> Step:
        """The manifest's entry, given the content hashes of both sets."""
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
            weights=dict(self.purifier.weights),
            facts={} if strength is None else {"sigma_255": round(strength, 4)},
        )

    def compute(self, numbers: Sequence[int], on_step: OnStep | None) -> Iterator[tuple[int, Block]]:
        """Purify the blocks of these numbers in order; the next one is decoded while one is computed."""
        total = len(self.image_set)
        finished = total - sum(len(self.blocks[number]) for number in numbers)
        for number, pictures in self._decode_ahead(numbers):
            yield number, self._purify_block(self.blocks[number], pictures)
            finished += len(pictures)
            if on_step:
                on_step(StepInfo(finished, total))

    def _purify_block(self, rows: range, pictures: list[Picture]) -> Block:
        purified = purify_pictures(
            self.purifier,
            [picture.rgb for picture in pictures],
            [self.image_set.ids[row] for row in rows],
            seed=self.run.seed,
            microbatch=self.run.microbatch,
            batch_size=self.batch_size,
            device=self.device,
        )
        labels = self.image_set.labels[rows.start : rows.stop]
        return Block(
            [picture.restore(rgb) for picture, rgb in zip(pictures, purified, strict=True)],
            [hash_picture(picture.rgb, int(label)) for picture, label in zip(pictures, labels, strict=True)],
            [picture.mode for picture in pictures],
        )

    def _decode_ahead(self, numbers: Sequence[int]) -> Iterator[tuple[int, list[Picture]]]:
        with ThreadPoolExecutor(1) as pool:
            coming = [pool.submit(self._decode, number) for number in numbers[:1]]
            for position, number in enumerate(numbers):
                pictures = coming.pop().result()
                coming = [pool.submit(self._decode, later) for later in numbers[position + 1 : position + 2]]
                yield number, pictures

    def _decode(self, number: int) -> list[Picture]:
        return [self.image_set.picture(row) for row in self.blocks[number]]
