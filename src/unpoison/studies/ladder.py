"""Pictures at several stations of their purification, from untouched to strongly purified."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from unpoison.core.device import same_bits
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.pixels import images_per_call, to_float, to_uint8
from unpoison.dynamics.steps import ImageStep
from unpoison.nets.protocols import DiscreteModel
from unpoison.purifiers.chain import build_purifier
from unpoison.purifiers.methods import METHODS, load_purifier
from unpoison.runs.calls import purify_images
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.run import PurifyRun

_FIRST = (0, 1, 2, 5, 10, 20)
_GAP = 25


def strength_field(method: str) -> str:
    """The setting that says how far a method goes.

    Raises:
        SettingsError: a method for which there is none.
    """
    field: str = load_purifier(method).strength_field
    if not field:
        known = [name for name in METHODS if load_purifier(name).strength_field]
        raise SettingsError(f"method '{method}' cannot be followed on its way; choose from {', '.join(known)}")
    return field


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
    furthest, model = 2 * settings.t, getattr(purifier, "model", None)
    if isinstance(model, DiscreteModel):
        furthest = min(furthest, model.max_index + 1, len(model.abar) - 1)
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
    own. Either way the pictures of a station are those that a run of this strength stores.

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
    settings: Any
    ((method, settings),) = run.settings.items()
    if strength_field(method) == "steps":
        furthest = settings.model_copy(update={"steps": stations[-1]})
        return iter(watch(image_set, replace(run, settings={method: furthest}), stations, device=device))
    return _round_trips(image_set, run, stations, device)


def watch(image_set: ImageSet, run: PurifyRun, steps: Sequence[int], *, device: torch.device) -> list[np.ndarray]:
    """Purify a set, and look at it on the way.

    Args:
        image_set: small pictures of one size.
        run: how, with a method that walks once.
        steps: when to look; 0 is the start of the walk, with the noise that was added there.
        device: where to compute.

    Returns:
        The pictures after each of these steps, [N, H, W, 3] uint8.

    Raises:
        SettingsError: pictures of several sizes.
        ModelError: a model is missing, unfit, or drives images out of all bounds.
    """
    pictures = image_set.array()
    seen = {step: np.empty_like(pictures) for step in steps}

    def look(rows: list[int], info: ImageStep) -> None:
        if info.step in seen:
            seen[info.step][rows] = to_uint8(info.images)

    purifier = build_purifier(run.resolved(device).settings, device=device)
    call = images_per_call(run.microbatch, pictures.shape[1] * pictures.shape[2])
    with same_bits(device):
        images = to_float(pictures).to(device)
        purify_images(purifier, images, image_set.ids, seed=run.seed, call=call, on_step=look)
    return list(seen.values())


def _round_trips(
    image_set: ImageSet, run: PurifyRun, stations: Sequence[int], device: torch.device
) -> Iterator[np.ndarray]:
    settings: Any
    ((method, settings),) = run.settings.items()
    for t in stations:
        if t == 0:
            yield image_set.array()
            continue
        steps = getattr(settings, "steps", None)
        further = settings.model_copy(update={"t": t, **({} if steps is None else {"steps": min(steps, t)})})
        trip = replace(run, settings={method: further})
        yield purify_in_memory(image_set, trip, device=str(device))[0].array()
