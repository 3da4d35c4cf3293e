"""Pictures at several stations of their purification, from untouched to strongly purified."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from unpoison.core.device import same_bits
from unpoison.core.errors import ModelError, SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.noise import Noise
from unpoison.core.pixels import PIXELS_PER_IMAGE, images_per_call, to_float, to_uint8
from unpoison.dynamics.langevin import langevin
from unpoison.purifiers.chain import build_purifier
from unpoison.purifiers.puregen.ebm import STEP_SIZE
from unpoison.runs.to_files import purify_in_memory
from unpoison.runs.work import PurifyRun

_STRENGTHS = {"puregen-ebm": "steps", "puregen-ddpm": "t", "eclipse": "t"}
_FIRST = (0, 1, 2, 5, 10, 20)
_GAP = 25


def strength_field(method: str) -> str:
    """The setting that says how far a method goes.

    Raises:
        SettingsError: a method for which there is none.
    """
    if method not in _STRENGTHS:
        raise SettingsError(f"method '{method}' cannot be followed on its way; choose from {', '.join(_STRENGTHS)}")
    return _STRENGTHS[method]


def choose_stations(run: PurifyRun, *, device: torch.device) -> list[int]:
    """Strengths to look at, rising from 0.

    Args:
        run: Langevin steps go up to its `steps`, round trips to twice its `t`, if the model was trained that far.
        device: where the model is loaded.

    Raises:
        SettingsError: a method whose strength is not one number.
        ModelError: a model is missing or unfit.
    """
    settings: Any
    ((method, settings),) = run.settings.items()
    if strength_field(method) == "steps":
        return ladder(settings.steps)
    purifier: Any = build_purifier(run.settings, device=device)
    furthest = min(2 * settings.t, purifier.model.max_index + 1, len(purifier.model.abar) - 1)
    return sorted({*ladder(furthest), settings.t})


def ladder(last: int) -> list[int]:
    """Few and close at first, then even.

    >>> ladder(60)
    [0, 1, 2, 5, 10, 20, 25, 50, 60]
    """
    return [step for step in (*_FIRST, *range(_GAP, last, _GAP)) if step < last] + [last]


def follow(
    image_set: ImageSet, run: PurifyRun, stations: Sequence[int], *, device: torch.device
) -> Iterator[np.ndarray]:
    """Purify a set further and further.

    Langevin dynamics is one chain that is looked at on its way; every t of a diffusion model is a round trip of its
    own. Either way the pictures of a station are those that a run of this strength stores; where there are too few to
    fill a network call, which a run would pad, but for a level now and then.

    Args:
        image_set: pictures of one size.
        run: how, but for the strength.
        stations: strengths, rising; see `choose_stations`.
        device: where to compute.

    Yields:
        The pictures at each station, [N, H, W, 3] uint8.

    Raises:
        SettingsError: pictures of several sizes, or a strength that the model was not trained for.
        ModelError: a model is missing, unfit, or drives images out of all bounds.
    """
    (method,) = run.settings
    walk = _chain if strength_field(method) == "steps" else _round_trips
    return walk(image_set, run, stations, device)


def _chain(image_set: ImageSet, run: PurifyRun, stations: Sequence[int], device: torch.device) -> Iterator[np.ndarray]:
    purifier: Any = build_purifier(run.settings, device=device)
    images = 2 * to_float(image_set.array()).to(device) - 1
    call = images_per_call(run.microbatch, images.shape[2] * images.shape[3])
    parts = list(images.split(call))
    # The purpose is a run's, and so is the noise.
    noises = [Noise(run.seed, "purify", image_set.ids[row : row + call]) for row in range(0, len(images), call)]
    for done, station in pairwise([0, *stations]):
        with same_bits(device):
            parts = [
                langevin(
                    part,
                    purifier.model,
                    steps=station - done,
                    step_size=STEP_SIZE,
                    temperature=purifier.settings.temperature,
                    noise=noise,
                    done=done,
                )
                for part, noise in zip(parts, noises, strict=True)
            ]
        moved = torch.cat(parts)
        if not moved.isfinite().all():
            raise ModelError(
                f"the energy model {purifier.settings.model} has driven images out of all bounds by step {station}; "
                "raise temperature, or use another model"
            )
        yield to_uint8((moved + 1) / 2)


def _round_trips(
    image_set: ImageSet, run: PurifyRun, stations: Sequence[int], device: torch.device
) -> Iterator[np.ndarray]:
    settings: Any
    ((method, settings),) = run.settings.items()
    microbatch = _unpadded(image_set, run.microbatch)
    for t in stations:
        if t == 0:
            yield image_set.array()
            continue
        steps = None if settings.steps is None else min(settings.steps, t)
        further = settings.model_copy(update={"t": t, "steps": steps})
        trip = replace(run, settings={method: further}, microbatch=microbatch)
        yield purify_in_memory(image_set, trip, device=str(device))[0].array()


def _unpadded(image_set: ImageSet, microbatch: int) -> int:
    """The microbatch whose network call a set of one size fills, if it does not fill that of the run."""
    if not len(image_set):
        return microbatch
    area = int(image_set.sizes[0].prod())
    call = min(len(image_set), images_per_call(microbatch, area))
    return min(microbatch, max(call, -(-call * area // PIXELS_PER_IMAGE)))
