"""Distances of purified pictures to the clean and to the poisoned ones, the further purification goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from unpoison.core.chunks import spread_rows
from unpoison.core.device import choose_device
from unpoison.core.errors import DataError
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.core.progress import OnStep, StepInfo
from unpoison.nets.protocols import EnergyModel
from unpoison.purifiers.energies import measure_energies
from unpoison.purifiers.weights import load_energy
from unpoison.runs.run import PurifyRun
from unpoison.studies.ladder import choose_stations, follow, strength_field


@dataclass(frozen=True)
class Station:
    """Where purified pictures are at one strength.

    Distances are Euclidean norms over all values of a picture, in [0, 1] units; here are their means over the pictures.

    Args:
        strength: Langevin steps, or t.
        to_clean: from the purified poisoned pictures to the clean ones.
        to_poisoned: from the purified poisoned pictures to the poisoned ones.
        clean_to_clean: from the purified clean pictures to the clean ones: what purification itself costs.
        nearer_to_clean: share of the purified poisoned pictures that are nearer to the clean one than to the poisoned.
        energy: mean energy of the purified poisoned pictures; None without an energy model.
        clean_energy: mean energy of the purified clean pictures; likewise.
    """

    strength: int
    to_clean: float
    to_poisoned: float
    clean_to_clean: float
    nearer_to_clean: float
    energy: float | None = None
    clean_energy: float | None = None


def pair_up(clean: ImageSet, poisoned: ImageSet, *, count: int) -> tuple[ImageSet, ImageSet]:
    """The same pictures of both sets, in the same order: some of those that the poison has changed.

    Args:
        clean: pictures before the poison.
        poisoned: the same, or some of them, under the same ids.
        count: how many at most, spread over the classes.

    Raises:
        DataError: a poisoned picture has no clean one of its id and size, or none differs.
    """
    before = find_originals(clean, poisoned)
    changed = [row for row in range(len(poisoned)) if not np.array_equal(before.pixels(row), poisoned.pixels(row))]
    if not changed:
        raise DataError(poisoned.name, f"no picture differs from that in {clean.name}", "Name a poisoned set")
    rows = [changed[place] for place in spread_rows(poisoned.labels[changed], count)]
    return before.subset(rows), poisoned.subset(rows)


def find_originals(clean: ImageSet, poisoned: ImageSet) -> ImageSet:
    """The pictures of a clean set from which those of a poisoned one were made, in their order.

    Args:
        clean: pictures before the poison.
        poisoned: the same, or some of them, under the same ids.

    Raises:
        DataError: a poisoned picture has no clean one of its id and size.
    """
    row_of = {image_id: row for row, image_id in enumerate(clean.ids)}
    remedy = "Name the set that it was made from"
    for image_id in poisoned.ids:
        if image_id not in row_of:
            raise DataError(poisoned.name, f"{clean.name} has no such picture", remedy, record=image_id)
    found = clean.subset([row_of[image_id] for image_id in poisoned.ids])
    for one in (found, poisoned):
        one.check_headers()
    for row in np.flatnonzero((found.sizes != poisoned.sizes).any(axis=1)).tolist():
        problem = f"the picture has another size than in {clean.name}"
        raise DataError(poisoned.name, problem, remedy, record=poisoned.ids[row])
    return found


def measure_distances(
    clean: ImageSet, poisoned: ImageSet, run: PurifyRun, *, device: str = "auto", on_step: OnStep | None = None
) -> list[Station]:
    """Purify both sets further and further, and measure where that leads.

    A picture gets the same noise in both sets.

    Args:
        clean: pictures before the poison, of one size.
        poisoned: the same in the same order, poisoned; see `pair_up`.
        run: how; see `choose_stations` for how far.
        device: where to compute.
        on_step: called after each station.

    Returns:
        The stations, from strength 0 on. Energies are in fp32, of the pictures in 8 bits.

    Raises:
        SettingsError: a method whose strength is not one number, or pictures of several sizes.
        ModelError: a model is missing, unfit, or drives images out of all bounds.
    """
    where = choose_device(device)
    strengths = choose_stations(run, device=where)
    walks = [follow(one, run, strengths, device=where) for one in (clean, poisoned)]
    judge = _judge(run, where)
    originals = clean.array(), poisoned.array()
    stations: list[Station] = []
    for strength, from_clean, from_poisoned in zip(strengths, *walks, strict=True):
        to_clean, to_poisoned = (lengths(from_poisoned, original) for original in originals)
        stations.append(
            Station(
                strength,
                float(to_clean.mean()),
                float(to_poisoned.mean()),
                float(lengths(from_clean, originals[0]).mean()),
                float((to_clean < to_poisoned).mean()),
                *([_mean_energy(one, judge, where) for one in (from_poisoned, from_clean)] if judge else []),
            )
        )
        if on_step:
            on_step(StepInfo(len(stations), len(strengths)))
    return stations


def crossing(stations: Sequence[Station]) -> Station | None:
    """The station from which on purified poisoned pictures are nearer to the clean ones than to the poisoned ones.

    Args:
        stations: rising; means over the pictures decide.

    Returns:
        None if they are not at the last one.
    """
    first = None
    for station in reversed(stations):
        if station.to_clean >= station.to_poisoned:
            break
        first = station
    return first


def lengths(pictures: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Euclidean distance of each picture [N, H, W, 3] uint8 to its other, in [0, 1] units: [N] float32."""
    difference = (pictures.astype(np.float32) - others).reshape(len(pictures), -1)
    norms: np.ndarray = np.linalg.norm(difference, axis=1)
    return norms / 255


def _judge(run: PurifyRun, device: torch.device) -> EnergyModel | None:
    """The energy model of a run that follows one."""
    settings: Any
    ((method, settings),) = run.settings.items()
    if strength_field(method) != "steps":
        return None
    return load_energy(settings.model, method=method, precision="fp32", device=device)[0]


def _mean_energy(pictures: np.ndarray, model: EnergyModel, device: torch.device) -> float:
    image_set = ArrayImageSet(pictures, np.full(len(pictures), -1))
    return float(measure_energies(image_set, model, device=device).mean(dtype=np.float64))
