"""Expectations: each value of the evidence as clean sets show it, by how hard a set is by nature."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from unpoison.auditing.views import FITTED

_FITTED = "expectations.json"
# What may speak against a set, and how it is brought to a scale on which clean sets spread evenly. Early learning,
# autoregression and class means are shown but do not speak: drawn sets have as much of them, and poisons that have much
# of them are seen by these.
SIGNS = {
    "residuals.advantage": "share",
    "residuals.margin_0.99": "as is",
    "residual-textures.advantage": "share",
    "colour-residuals.advantage": "share",
    "textures.advantage": "share",
    "pixels.pixel": "logarithm",
    "repeats.repeat": "logarithm",
    "repeats.repeat_max": "logarithm",
    "coarse.side_4": "share",
}
# Measured on what the denoiser leaves of a set, so that little of a poison is in them.
_NATURE = ("denoised.left", "denoised.left_texture", "denoised.again_texture")
# The kinds of evidence without which nothing can be judged.
JUDGED = tuple(dict.fromkeys(name.partition(".")[0] for name in (*SIGNS, *_NATURE)))
_LINEAR = 4.0  # variance of what is linear over that of what is only smooth, which is that of all clean sets
_LENGTH = 0.4  # distance at which sets are no longer alike; clean sets of other sources are expected best so
_NEAR = 0.1  # sets within this distance say how much others like them scatter
_FAR = 1.0  # weight, in sets, of the scatter of all sets, which counts where none is near
_FAINTEST = {"share": 0.015, "as is": 0.35, "logarithm": 0.1}  # scatter below which no values are told apart
_ROUNDS = 4


@dataclass(frozen=True)
class Measured:
    """The evidence in one view of a set.

    Args:
        values: of every kind, as `kind.name`.
        images: how many pictures the set has.
        classes: how many classes.
    """

    values: Mapping[str, float]
    images: int
    classes: int

    def nature(self) -> np.ndarray:
        """[D] float64: how hard the set is by nature, and how large it is; sets alike lie near each other."""
        easy = [on_scale("share", self.values[name]) for name in _NATURE]
        repeats = on_scale("logarithm", self.values["denoised.again_repeat"])
        learned = min(self.images, FITTED)  # more are not learned from
        size = np.log([self.classes / 10, learned / self.classes / 250])
        return np.array([*easy, 0.15 * repeats, *0.12 * size])

    def on_scale(self, sign: str) -> float:
        """The value of a sign on its scale."""
        return on_scale(SIGNS[sign], self.values[sign])


@dataclass(frozen=True)
class Expectation:
    """A Gaussian process over clean sets, for one sign: linear in nature, and smooth beside that.

    It expects sharply where many clean sets are alike and agree, as natural photographs do, and says little where they
    scatter or where it knows none.

    Args:
        natures: [S, D] of the clean sets.
        values: [S] their values on the scale of the sign.
        scatter: [S] variance of sets around each.

    References:
        Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, chapter 2.
    """

    natures: np.ndarray
    values: np.ndarray
    scatter: np.ndarray

    def expect(self, natures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation, [n] each, of clean sets of such natures [n, D]."""
        between = self._alike(natures)
        solved = np.linalg.solve(self.among(), between.T)
        mean = self.values.mean() + (self.values - self.values.mean()) @ solved
        own = self.values.var() * (1 + _LINEAR * (1 + (natures**2).sum(axis=1)))
        scatter = _near_by(natures, self.natures, self.scatter)
        return mean, np.sqrt(own - (between * solved.T).sum(axis=1) + scatter)

    def among(self) -> np.ndarray:
        """[S, S] covariance of the clean sets."""
        covariance: np.ndarray = self._alike(self.natures) + np.diag(self.scatter)
        return covariance

    def _alike(self, natures: np.ndarray) -> np.ndarray:
        smooth = np.exp(-_distances(natures, self.natures) / (2 * _LENGTH**2))
        alike: np.ndarray = self.values.var() * (_LINEAR * (1 + natures @ self.natures.T) + smooth)
        return alike


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[n, m] squared."""
    squared: np.ndarray = ((first[:, None] - second[None]) ** 2).sum(axis=2)
    return squared


def _near_by(natures: np.ndarray, known: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """[n] mean of [S] squares of those that are near."""
    near = np.exp(-_distances(natures, known) / (2 * _NEAR**2))
    mean: np.ndarray = (near @ squares + _FAR * squares.mean()) / (near.sum(axis=1) + _FAR)
    return mean


def on_scale(scale: str, value: float) -> float:
    """A value on the scale of `SIGNS`."""
    if scale == "share":  # below chance is chance
        return float(np.arcsin(np.sqrt(np.clip(value, 0.0, 1.0))))
    return float(np.log1p(max(value, 0.0))) if scale == "logarithm" else value


def from_scale(scale: str, value: float) -> float:
    """The value that `on_scale` brings there."""
    if scale == "share":
        return float(np.sin(np.clip(value, 0, np.pi / 2)) ** 2)
    return float(np.expm1(max(value, 0.0))) if scale == "logarithm" else value


def fit_expectations(sets: Sequence[Measured]) -> dict[str, Expectation]:
    """What clean sets show, as the views of some of them do."""
    natures = np.stack([one.nature() for one in sets])
    return {
        sign: _scattered(natures, np.array([one.on_scale(sign) for one in sets]), _FAINTEST[scale])
        for sign, scale in SIGNS.items()
    }


def _scattered(natures: np.ndarray, values: np.ndarray, faintest: float) -> Expectation:
    """With the scatter that leaving each set out shows."""
    found = Expectation(natures, values, np.full(len(values), values.var()))
    for _ in range(_ROUNDS):
        inverse = np.linalg.inv(found.among())
        left_out = inverse @ (values - values.mean()) / inverse.diagonal()
        # what is left out is unsure for being left out as well, and that is no scatter
        share = found.scatter * inverse.diagonal()
        scatter = _near_by(natures, natures, left_out**2 * share.clip(0, 1)) + faintest**2
        found = replace(found, scatter=scatter)
    return found


@cache
def expectations() -> dict[str, Expectation]:
    """Those that come with the package."""
    stored = _stored()
    natures = np.array(stored["natures"])
    return {
        sign: Expectation(natures, np.array(one["values"]), np.array(one["scatter"]))
        for sign, one in stored["signs"].items()
    }


def clean_surprises() -> np.ndarray:
    """[n] float64, ascending: the most that surprises in each clean set, judged by other sources than its own."""
    return np.array(_stored()["clean"])


@cache
def _stored() -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(resources.files("unpoison.auditing").joinpath(_FITTED).read_text())
    return stored


def to_store(fitted: Mapping[str, Expectation], clean: Sequence[float]) -> dict[str, Any]:
    """What the file of the package holds.

    Args:
        fitted: what clean sets show.
        clean: the most that surprises in each of them, judged by other sources than its own.
    """
    return {
        "clean": sorted(round(value, 3) for value in clean),
        "natures": next(iter(fitted.values())).natures.round(4).tolist(),
        "signs": {
            sign: {"values": one.values.round(4).tolist(), "scatter": one.scatter.round(6).tolist()}
            for sign, one in fitted.items()
        },
    }
