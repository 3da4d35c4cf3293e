"""Expectations: each value of the evidence as clean sets show it, by how hard a set is by nature."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from itertools import product
from typing import Any

import numpy as np

_FITTED = "expectations.json"
# What may speak against a set, and how it is brought to a scale on which clean sets spread evenly.
SIGNS = {
    "residuals.advantage": "share",
    "residuals.margin_0.99": "as is",
    "residuals.margin_0.999": "as is",
    "residual-textures.advantage": "share",
    "colour-residuals.advantage": "share",
    "textures.advantage": "share",
    "class-means.coherence": "as is",
    "class-means.coherence_max": "as is",
    "pixels.pixel": "logarithm",
    "repeats.repeat": "logarithm",
    "repeats.repeat_max": "logarithm",
    "autoregression.advantage": "share",
    "early.pass_1": "share",
    "coarse.side_4": "share",
}
# Measured on what the denoiser leaves of a set, so that little of a poison is in them.
_NATURE = ("denoised.left", "denoised.left_texture", "denoised.again_texture")
_LINEAR = 4.0  # variance of slopes over that of what is not linear
_AMPLITUDES = (0.06, 0.12, 0.25, 0.5, 1.0)
_LENGTHS = (0.08, 0.15, 0.3, 0.6)
_NOISES = (0.015, 0.03, 0.06, 0.12, 0.25, 0.5)


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
        size = np.log([self.classes / 10, self.images / self.classes / 250])
        return np.array([*easy, 0.15 * repeats, *0.12 * size])

    def on_scale(self, sign: str) -> float:
        """The value of a sign on its scale."""
        return on_scale(SIGNS[sign], self.values[sign])


@dataclass(frozen=True)
class Expectation:
    """A Gaussian process over clean sets, for one sign: linear in nature, and smooth beside that.

    It expects sharply where many clean sets are alike, and says little of sets unlike any that it knows.

    Args:
        natures: [S, D] of the clean sets.
        values: [S] their values on the scale of the sign.
        amplitude: standard deviation over sets that are not alike.
        length: distance at which sets are no longer alike.
        noise: standard deviation over sets that are.

    References:
        Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, chapter 2.
    """

    natures: np.ndarray
    values: np.ndarray
    amplitude: float
    length: float
    noise: float

    def expect(self, natures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation, [n] each, of clean sets of such natures [n, D]."""
        among = self._alike(self.natures, self.natures) + self.noise**2 * np.eye(len(self.values))
        between = self._alike(natures, self.natures)
        solved = np.linalg.solve(among, between.T)
        mean = self.values.mean() + (self.values - self.values.mean()) @ solved
        own = self.amplitude**2 * (1 + _LINEAR * (1 + (natures**2).sum(axis=1)))
        variance = own - (between * solved.T).sum(axis=1) + self.noise**2
        return mean, np.sqrt(variance)

    def _alike(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        distance = ((first[:, None] - second[None]) ** 2).sum(axis=2)
        linear = _LINEAR * (1 + first @ second.T)
        alike: np.ndarray = self.amplitude**2 * (linear + np.exp(-distance / (2 * self.length**2)))
        return alike


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


def fit_expectations(sets: Sequence[Measured], sources: Sequence[str]) -> dict[str, Expectation]:
    """Choose for each sign what foretells sources best that it has not seen.

    Args:
        sets: views of clean sets.
        sources: what each was made from; its histories are no sources of their own.
    """
    natures = np.stack([one.nature() for one in sets])
    fitted = {}
    for sign in SIGNS:
        values = np.array([one.on_scale(sign) for one in sets])
        choices = [Expectation(natures, values, *chosen) for chosen in product(_AMPLITUDES, _LENGTHS, _NOISES)]
        fitted[sign] = max(choices, key=lambda choice: _foretold(choice, np.array(sources)))
    return fitted


def unseen(expectation: Expectation, sources: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, [S] each, expected of every clean set without its source."""
    mean, spread = np.empty(len(sources)), np.empty(len(sources))
    for source in np.unique(sources):
        left, known = sources == source, sources != source
        part = replace(expectation, natures=expectation.natures[known], values=expectation.values[known])
        mean[left], spread[left] = part.expect(expectation.natures[left])
    return mean, spread


def _foretold(expectation: Expectation, sources: np.ndarray) -> float:
    """Logarithm of the likelihood of every source without itself; each counts the same, however many its sets."""
    mean, spread = unseen(expectation, sources)
    likely = -np.log(spread) - ((expectation.values - mean) / spread) ** 2 / 2
    return float(sum(likely[sources == source].mean() for source in np.unique(sources)))


@cache
def expectations() -> dict[str, Expectation]:
    """Those that come with the package."""
    stored = json.loads(resources.files("unpoison.auditing").joinpath(_FITTED).read_text())
    natures = np.array(stored["natures"])
    return {
        sign: Expectation(natures, np.array(one["values"]), one["amplitude"], one["length"], one["noise"])
        for sign, one in stored["signs"].items()
    }


def to_store(fitted: Mapping[str, Expectation]) -> dict[str, Any]:
    """What the file of the package holds."""
    return {
        "natures": next(iter(fitted.values())).natures.round(4).tolist(),
        "signs": {
            sign: {
                "amplitude": one.amplitude,
                "length": one.length,
                "noise": one.noise,
                "values": one.values.round(4).tolist(),
            }
            for sign, one in fitted.items()
        },
    }
