"""A set purified anew for every epoch of a training: what survives one draw of the noise is no constant to learn."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unpoison.core.device import choose_device
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet, draw_id
from unpoison.core.pixels import to_float, to_uint8
from unpoison.core.progress import OnStep, StepInfo
from unpoison.purifiers.methods import load_purifier
from unpoison.runs.cost import announce_cost
from unpoison.runs.in_memory import Application
from unpoison.runs.run import PurifyRun

_PIXELS = 2**23  # as floats at a time


def check_draws(name: str) -> None:
    """Whether a purifier can purify in a training.

    Raises:
        SettingsError: it looks at the whole set first.
    """
    if load_purifier(name).needs_whole_set:
        raise SettingsError(
            f"'{name}' looks at the whole set before it purifies, too long for every epoch: purify the set once, and "
            "train on what comes out"
        )


class FreshDraws:
    """Gives a training the purified pictures of each epoch: a `Redraw` for `train` and `transfer`.

    Draw n of a picture has the noise of `draw_id(id, n)`, whatever goes with it: the first is what `unpoison purify`
    makes of the picture with the same seed, byte for byte.

    Args:
        image_set: pictures of one size.
        run: how they are purified.
        epochs: of the training.
        draws: how many there are, taken in turn; 0 for another one in every epoch. Those that come again are kept in
            memory.
        device: of the training.
        say: takes the line of what a long purification will cost.

    Attributes:
        seconds: that purifying took so far.

    Raises:
        SettingsError: the purifier looks at the whole set first, the pictures have several sizes, or draws is below 0.
        ModelError: a model is missing or does not fit.
    """

    def __init__(
        self,
        image_set: ImageSet,
        run: PurifyRun,
        *,
        epochs: int,
        draws: int = 0,
        device: str = "auto",
        say: Callable[[str], None] = lambda _: None,
    ):
        if type(draws) is not int or draws < 0:
            raise SettingsError(f"draws {repr(draws)[:40]} is no whole number from 0")
        for name in run.settings:
            check_draws(name)
        self._device = choose_device(device)
        self._application = Application(run, device=self._device, on_step=self._note)
        self.run, self.seconds = self._application.run, 0.0
        self._draws, self._come_again = min(draws or epochs, epochs), 0 < draws < epochs
        self._kept: dict[int, Tensor] = {}
        self._ids, self._images = image_set.ids, image_set.array()
        self._grey = np.array([image_set.picture(row).is_grey for row in range(len(image_set))])
        self._begun, self._done = 0.0, 0  # of the draw that is made just now: its start, and pictures before this part
        self._tell: Callable[[int], None] = lambda _: None
        self._cost = announce_cost(
            lambda _: None,
            lambda text: say(f"to purify {self._draws} times in this training: {text}"),
            device=self._device.type,
            clock=lambda: self.seconds + time.perf_counter() - self._begun,
        )

    def __call__(self, epoch: int, on_step: OnStep | None = None) -> Tensor:
        """The pictures of an epoch.

        Args:
            epoch: counted from 1.
            on_step: called as they are purified; its steps say what is being done.

        Returns:
            [N, 3, H, W] uint8 on the device, in the order of the set.
        """
        number = (epoch - 1) % self._draws + 1
        if number in self._kept:
            return self._kept[number]
        count, self._begun = len(self._images), time.perf_counter()

        def tell(done: int) -> None:
            self._cost(StepInfo((number - 1) * count + done, self._draws * count))
            if on_step:
                on_step(StepInfo(done, count, doing=f"purifying {done:,} of {count:,} for epoch {epoch}"))

        self._tell = tell
        pictures = self._draw([draw_id(image_id, number) for image_id in self._ids])
        self.seconds += time.perf_counter() - self._begun
        if self._come_again:
            self._kept[number] = pictures
        return pictures

    def describe(self) -> dict[str, Any]:
        """How pictures are purified, as it is kept with what was trained on them."""
        run, weights = self.run, dict(self._application.purifier.weights)
        about = {"method": run.method, "seed": run.seed, "draws": self._draws}
        return {**about, "settings": run.describe(), "weights": weights}

    def _draw(self, ids: list[str]) -> Tensor:
        """All pictures, purified with the noise of these ids."""
        purified = np.empty_like(self._images)
        part = max(1, _PIXELS // max(1, self._images[0, ..., 0].size))
        self._done = 0
        self._tell(0)
        for start in range(0, len(ids), part):
            rows = slice(start, start + part)
            floats = to_float(self._images[rows]).to(self._device)
            purified[rows] = to_uint8(self._application.purify_floats(floats, ids=ids[rows]))
            self._done = min(start + part, len(ids))
        # As in a purified file, what came in grey stays grey.
        purified[self._grey] = np.rint(purified[self._grey].mean(axis=3, keepdims=True)).astype(np.uint8)
        return torch.from_numpy(np.ascontiguousarray(purified.transpose(0, 3, 1, 2))).to(self._device)

    def _note(self, info: StepInfo) -> None:
        self._tell(self._done + info.step)
