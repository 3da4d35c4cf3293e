"""Theory: what noise, a denoiser and a purifier leave of a perturbation, given the pictures before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unpoison.auditing.formulas import (
    bands,
    bounded_sigma,
    class_means,
    energy_ratio,
    kl_bound,
    mean_square,
    noise_error,
    residual_ratio,
    training_bound,
)
from unpoison.auditing.probes import read_classes
from unpoison.core.chunks import spread_rows
from unpoison.core.device import choose_device
from unpoison.core.errors import DataError
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.core.noise import Noise
from unpoison.core.pixels import to_float
from unpoison.core.progress import OnStep, StepInfo
from unpoison.core.settings import Settings
from unpoison.nets.denoiser import as_denoiser
from unpoison.nets.schedules import abar_to_sigma, cosine_abar
from unpoison.purifiers.chain import build_purifier
from unpoison.purifiers.settings import purifier_settings
from unpoison.purifiers.weights import load_network
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.run import PurifyRun
from unpoison.studies.distances import find_originals

PICTURES = 2000
STEPS = 4000  # of the cosine schedule of ECLIPSE
TIMES = (10, 25, 50, 100, 150, 200, 330, 500, 1000, 2000, 3000)
GREY, NOISE = 0.4, 0.05  # of ECLIPSE's training: profile `compensation`
_VALUES = 12_000_000  # of all pictures of a sample together: large ones are fewer, so that memory is bounded
_DENOISED = 256  # pictures; a picture holds thousands of values, so the mean is sharp
_SIGMAS = tuple(level / 255 for level in (5, 10, 15, 25, 40))  # noise on which the denoiser is tried
_NOISE_FIRST = ("fast", "eclipse", "puregen-ddpm")  # purifiers that begin by adding Gaussian noise to the picture


@dataclass(frozen=True)
class Level:
    """The bound after noise alone.

    Args:
        t: how many steps of the cosine schedule of 4,000 steps the noise stands for.
        sigma: its standard deviation on pictures in [0, 1].
        nats: most that the laws of poisoned and clean pictures can then differ, as Kullback-Leibler divergence.
    """

    t: int
    sigma: float
    nats: float


@dataclass(frozen=True)
class DenoiserError:
    """How far the denoiser of the package misses the same noise on both sets.

    Args:
        sigma: standard deviation of the noise.
        clean: mean squared error of the noise estimated on the originals, in units of the noise.
        poisoned: the same on the poisoned pictures.
    """

    sigma: float
    clean: float
    poisoned: float


@dataclass(frozen=True)
class Remaining:
    """What the purifier leaves of a part of the perturbation.

    Args:
        part: `all`, a band of frequencies (`coarse`, `middle`, `fine`), or `class means`.
        share: of the energy of the perturbation, that lies in this part.
        ratio: rho; 1 if the part is left whole, 0 if nothing is left along it.
    """

    part: str
    share: float
    ratio: float


@dataclass(frozen=True)
class Readable:
    """How well a linear model reads the class, from 0 for chance to 1 for always.

    Args:
        poisoned: from poisoned pictures.
        clean: from the originals.
        difference: from their difference.
    """

    poisoned: float
    clean: float
    difference: float


@dataclass(frozen=True)
class Diagnostics:
    """The five diagnostics. None of them is a proof.

    Args:
        originals: name of the set of the pictures before the poison.
        method: the purifier.
        pictures: how many were looked at, evenly spread over the set.
        images: how many the set has, with a class.
        changed: how many of those looked at differ from their originals.
        squared_length: mean squared length of the perturbation, over all values of a picture in [0, 1] units.
        levels: the bound after noise alone, by noise.
        one_nat: noise at which that bound comes down to 1.
        sigma: the noise that the purifier adds first; None if it adds none first.
        noise_cap: bound on what the whole map leaves, by that noise; None likewise.
        training_cap: bound by the noise of the training after the purifier.
        denoiser: errors of the denoiser, by noise.
        remaining: what is left by parts, `all` first.
        energy: energy of P(x + d) - P(x) over that of d.
        before: readability before the purifier.
        after: and after it.
    """

    originals: str
    method: str
    pictures: int
    images: int
    changed: int
    squared_length: float
    levels: tuple[Level, ...]
    one_nat: float
    sigma: float | None
    noise_cap: float | None
    training_cap: float
    denoiser: tuple[DenoiserError, ...]
    remaining: tuple[Remaining, ...]
    energy: float
    before: Readable
    after: Readable

    @property
    def cap(self) -> float:
        """The smaller bound on what the whole map leaves: later steps cannot add to a difference."""
        return self.training_cap if self.noise_cap is None else min(self.noise_cap, self.training_cap)


def diagnose(
    poisoned: ImageSet,
    originals: ImageSet,
    *,
    settings: Mapping[str, Settings] | None = None,
    device: str = "auto",
    on_step: OnStep | None = None,
) -> Diagnostics:
    """Apply the theory of noise and denoising to a perturbation that is known.

    Args:
        poisoned: pictures of one size.
        originals: the same before the poison, under the same ids; more will do.
        settings: of the purifier, as `purifier_settings` gives them; `fast` if left out.
        device: where to compute.
        on_step: called as pictures are purified and denoised, in percent.

    Raises:
        DataError: no picture has a class, one has no original of its id and size, or none of those looked at differs.
        SettingsError: there are pictures of several sizes.

    References:
        Wang et al., ECLIPSE: Expunging Clean-label Indiscriminate Poisons via Sparse Diffusion Purification, 2024,
        theorem 1, https://arxiv.org/abs/2406.15093, which proves that noise lowers the divergence, and not by how much.
    """
    told, run = _Told(on_step), PurifyRun(settings or purifier_settings("fast"))
    before, after, images = _sample(poisoned, originals)
    clean, dirty = to_float(before.images), to_float(after.images)
    difference = dirty - clean
    changed = int(difference.flatten(1).any(dim=1).sum())
    if not changed:
        problem = f"none of the {len(after):,} pictures looked at differs from that in {originals.name}"
        raise DataError(poisoned.name, problem, "Name the set as it was before the poison")
    # Noise is keyed by id and seed, so a picture gets the same in both sets.
    purified_clean, purified = (
        to_float(purify_in_memory(one, run, device=device, on_step=told.part(place))[0].images)
        for place, one in enumerate((before, after))
    )
    squared = mean_square(difference)
    sigma = _first_noise(run.settings, choose_device(device))
    levels = [(t, abar_to_sigma(float(cosine_abar(STEPS)[t - 1]))) for t in TIMES]
    return Diagnostics(
        originals=originals.name,
        method=run.method,
        pictures=len(after),
        images=images,
        changed=changed,
        squared_length=squared,
        levels=tuple(Level(t, level, kl_bound(squared, level)) for t, level in levels),
        one_nat=bounded_sigma(squared, 1.0),
        sigma=sigma,
        noise_cap=None if sigma is None else kl_bound(squared, sigma),
        training_cap=training_bound(purified, purified_clean, grey=GREY, sigma=NOISE),
        denoiser=_denoiser_errors(clean, dirty, after, choose_device(device), told.part(2)),
        remaining=_remaining(purified - purified_clean, difference, after.labels),
        energy=energy_ratio(purified - purified_clean, difference),
        before=_readable(dirty, clean, after.labels),
        after=_readable(purified, purified_clean, after.labels),
    )


def _sample(poisoned: ImageSet, originals: ImageSet) -> tuple[ArrayImageSet, ArrayImageSet, int]:
    """Some pictures before and after the poison, and how many there are."""
    labelled = np.flatnonzero(poisoned.labels >= 0)
    if not len(labelled):
        raise DataError(poisoned.name, "no picture has a class", "Give a set with labels")
    poisoned.check_headers()
    values = 3 * int(poisoned.sizes.prod(axis=1, dtype=np.int64).max(initial=1))
    chosen = spread_rows(poisoned.labels[labelled], min(PICTURES, max(1, _VALUES // values)))
    after = poisoned.subset(np.sort(labelled[chosen]))
    before = find_originals(originals, after)
    _, labels = np.unique(after.labels, return_inverse=True)
    before, after = (ArrayImageSet(one.array(), labels, ids=after.ids, name=one.name) for one in (before, after))
    return before, after, len(labelled)


@dataclass(frozen=True)
class _Told:
    """Progress of the whole, in percent: three parts that take about as long."""

    on_step: OnStep | None

    def part(self, place: int) -> OnStep:
        doing = ("purifying originals", "purifying", "denoising")[place]

        def on_step(step: StepInfo) -> None:
            if self.on_step is not None:
                self.on_step(StepInfo(round(100 * (place + step.step / step.total) / 3), 100, doing=f"theory: {doing}"))

        return on_step


def _first_noise(settings: Mapping[str, Settings], device: torch.device) -> float | None:
    """Standard deviation of Gaussian noise that a purifier adds before it does anything else."""
    first = next(iter(settings))
    if first not in _NOISE_FIRST:
        return None
    strength = build_purifier({first: settings[first]}, device=device).strength_255
    return None if strength is None else strength / 255


@torch.inference_mode()
def _denoiser_errors(
    clean: Tensor, dirty: Tensor, shown: ImageSet, device: torch.device, on_step: OnStep
) -> tuple[DenoiserError, ...]:
    model, _ = load_network("pocket-free", method="theory", precision="fp32", device=device)
    denoiser = as_denoiser(model)
    rows = np.linspace(0, len(clean) - 1, min(len(clean), _DENOISED)).astype(int)
    noise = Noise(0, "theory", [shown.ids[row] for row in rows])
    errors = []
    for sigma in _SIGMAS:
        on_clean, on_dirty = (
            noise_error(images[rows].to(device), denoiser, sigma=sigma, noise=noise) for images in (clean, dirty)
        )
        errors.append(DenoiserError(sigma, on_clean, on_dirty))
        on_step(StepInfo(len(errors), len(_SIGMAS)))
    return tuple(errors)


def _remaining(residual: Tensor, difference: Tensor, labels: np.ndarray) -> tuple[Remaining, ...]:
    of_residual = {"all": residual, **bands(residual), "class means": class_means(residual, torch.from_numpy(labels))}
    parts = {"all": difference, **bands(difference), "class means": class_means(difference, torch.from_numpy(labels))}
    return tuple(
        Remaining(name, energy_ratio(part, difference), residual_ratio(of_residual[name], part))
        for name, part in parts.items()
    )


def _readable(poisoned: Tensor, clean: Tensor, labels: np.ndarray) -> Readable:
    rows = np.arange(len(labels))
    return Readable(
        *(read_classes(one.flatten(1), labels, rows).advantage for one in (poisoned, clean, poisoned - clean))
    )
