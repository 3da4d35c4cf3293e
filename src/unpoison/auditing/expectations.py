"""Expectations: each value of the evidence as clean sets show it, by how hard a set is by nature."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

Values = Mapping[str, float]  # of evidence, as "kind.name"

_FITTED = "expectations.json"
_RIDGE = 0.1
# Measured on what the denoiser leaves of a set, so that little of a poison is in them.
_NATURE = ("denoised.left", "denoised.left_texture", "denoised.again", "denoised.again_texture")
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


@dataclass(frozen=True)
class Expectation:
    """A linear model of one sign over clean sets.

    Args:
        weights: [D] of what `nature` gives.
        spread: standard deviation of clean sets around it.
        covariance: [D, D] of the weights, in units of the spread: less is known of sets unlike those it was fitted on.
    """

    weights: np.ndarray
    spread: float
    covariance: np.ndarray

    def surprise(self, value: float, nature: np.ndarray) -> float:
        """Standard deviations of clean sets by which a value lies above what is expected."""
        unsure = 1 + float(nature @ self.covariance @ nature)
        return float((value - nature @ self.weights) / (self.spread * np.sqrt(unsure)))


@dataclass(frozen=True)
class Clean:
    """The evidence in a clean set.

    Args:
        values: of one of its views.
        images: how many pictures it has.
        classes: how many classes.
        source: what it was made from; its histories are no sources of their own.
    """

    values: Values
    images: int
    classes: int
    source: str


def nature(values: Values, images: int, classes: int) -> np.ndarray:
    """[D] float64: how hard a set is by nature, and how large it is."""
    easy = [on_scale("share", values[name]) for name in _NATURE]
    repeats = on_scale("logarithm", values["denoised.again_repeat"])
    return np.array([1, *easy, repeats, np.log(classes / 10), np.log(images / classes / 250)])


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


def fit_expectations(sets: Sequence[Clean]) -> dict[str, Expectation]:
    """Least squares over clean sets, every source with equal weight."""
    sources = [one.source for one in sets]
    weight = np.array([1 / np.sqrt(sources.count(source)) for source in sources])
    weight /= np.sqrt((weight**2).mean())
    natures = np.stack([nature(one.values, one.images, one.classes) for one in sets])
    weighted = natures * weight[:, None]
    ridge = _RIDGE * np.diag([1e-6, *np.ones(natures.shape[1] - 1)])
    inverse = np.linalg.inv(weighted.T @ weighted + ridge)
    # a source's histories say nearly the same: what is known grows with sources, not with sets
    known = inverse * len(sets) / len(set(sources))
    fitted = {}
    for sign, scale in SIGNS.items():
        shown = np.array([on_scale(scale, one.values[sign]) for one in sets])
        weights = inverse @ (weighted.T @ (shown * weight))
        errors = (shown - natures @ weights) * weight
        fitted[sign] = Expectation(weights, float(np.sqrt((errors**2).mean())), known)
    return fitted


@cache
def expectations() -> dict[str, Expectation]:
    """Those that come with the package."""
    stored = json.loads(resources.files("unpoison.auditing").joinpath(_FITTED).read_text())
    covariance = np.array(stored["covariance"])
    return {
        sign: Expectation(np.array(one["weights"]), one["spread"], covariance) for sign, one in stored["signs"].items()
    }


def store(fitted: Mapping[str, Expectation]) -> dict[str, object]:
    """What the file of the package holds."""
    return {
        "covariance": next(iter(fitted.values())).covariance.tolist(),
        "signs": {sign: {"weights": one.weights.tolist(), "spread": one.spread} for sign, one in fitted.items()},
    }
