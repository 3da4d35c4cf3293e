"""Drawings: each kind of evidence as small pictures of classes, or as bars, the same for every set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unpoison.auditing.evidence.protocol import Evidence
from unpoison.auditing.views import SIDE, View

Labels = Sequence[int]
Draw = Callable[[View, Evidence, Labels], list[np.ndarray]]

CLASSES = 6  # that are drawn, the most suspicious ones
_PICTURES = 100  # of a class, at most: more would average out further than in the clean set on the page
_USUAL = 1000  # pictures of all classes that those of one are compared with
_CARRIERS = 10
_NEAR = 2  # levels from black or white, for what was compressed
_SPREADS = 5.0  # of a mean of noise, drawn as full colour
_OCTAVES = 1.5  # of power against the mean of all classes, drawn as full colour
_LEVELS = 40 / 255  # of a coarse mean against that of all classes, drawn as full colour
_MARGINS = np.linspace(-6, 12, 37)
_SHARES = np.linspace(0, 1, 26)
# Against nothing, as much less and as much more as is drawn; between blue and orange the eye needs no legend twice.
_COLOURS = np.array([[36, 112, 190], [128, 128, 128], [240, 140, 30]], np.float64)


@dataclass(frozen=True)
class Tiles:
    """A picture for each of a few classes.

    Args:
        labels: [n] the classes.
        images: [n, 32, 32, 3] uint8.
    """

    labels: tuple[int, ...]
    images: np.ndarray


@dataclass(frozen=True)
class Bars:
    """How the pictures of a set are spread over a scale.

    Args:
        low: where the scale begins.
        high: where it ends; what lies beyond an end is in its last bar.
        shares: [n] of the pictures, in equal steps.
    """

    low: float
    high: float
    shares: np.ndarray


@dataclass(frozen=True)
class TileKind:
    """What is drawn of each class.

    Args:
        caption: what is seen, and what is usual.
        draw: maps the view, the evidence and some classes to [32, 32, 3] uint8 for each of them.
    """

    caption: str
    draw: Draw


@dataclass(frozen=True)
class BarKind:
    """What of each picture is counted.

    Args:
        caption: what is seen, and what is usual.
        low: what stands at the lower end.
        high: what stands at the upper end.
        edges: [n + 1] of the bars.
        of: maps the score of each picture to what is counted.
    """

    caption: str
    low: str
    high: str
    edges: np.ndarray
    of: Callable[[np.ndarray], np.ndarray] = np.asarray


def draw_tiles(kind: str, view: View, evidence: Evidence) -> Tiles | None:
    """The most suspicious classes as a kind of evidence sees them; None if it draws none."""
    if kind not in TILES:
        return None
    labels = _most_suspicious(view, evidence)
    return Tiles(labels, np.stack(TILES[kind].draw(view, evidence, labels)))


def draw_bars(kind: str, evidence: Evidence) -> Bars | None:
    """All pictures on the scale of a kind of evidence; None if it has no scores, or draws none."""
    if kind not in BARS or evidence.images is None:
        return None
    edges = BARS[kind].edges
    counted = BARS[kind].of(evidence.images).clip(edges[0], edges[-1])
    return Bars(float(edges[0]), float(edges[-1]), np.histogram(counted, edges)[0] / len(counted))


def diverging(values: np.ndarray) -> np.ndarray:
    """Numbers as colours: -1 and less blue, 0 grey, 1 and more orange.

    Args:
        values: any shape.

    Returns:
        [..., 3] uint8.
    """
    places = np.clip(values, -1, 1)
    channels = [np.interp(places, (-1, 0, 1), _COLOURS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def amplified(difference: np.ndarray, full: float | None = None) -> np.ndarray:
    """A difference as a picture: grey where there is none.

    Args:
        difference: [..., 3], in any unit.
        full: what is drawn as black and white; what one of a hundred values exceeds if left out.

    Returns:
        Same shape, uint8.
    """
    full = full or max(float(np.quantile(np.abs(difference), 0.99)), 1e-9)
    shown: np.ndarray = np.clip(np.rint(128 + 127 * (difference / full)), 0, 255).astype(np.uint8)
    return shown


def evenly(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of [n] rows, at equal distances."""
    chosen: np.ndarray = rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int)]
    return chosen


def _most_suspicious(view: View, evidence: Evidence) -> tuple[int, ...]:
    counts = np.bincount(view.labels, minlength=view.classes)
    if evidence.classes is not None:
        scores = np.nan_to_num(evidence.classes[: view.classes], nan=-np.inf)
    elif evidence.images is not None:
        scores = np.bincount(view.labels, evidence.images, view.classes) / np.maximum(counts, 1)
    else:
        scores = counts
    ranked = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    return tuple(int(label) for label in ranked if counts[label])[:CLASSES]


def _members(view: View, label: int) -> np.ndarray:
    """Rows of a class, evenly over the set."""
    return evenly(np.flatnonzero(view.labels == label), _PICTURES)


def _in_colours(planes: Tensor) -> np.ndarray:
    """[32, 32, 3] of [3, 32, 32]."""
    colours: np.ndarray = planes.permute(1, 2, 0).numpy()
    return colours


def _mean_noise(view: View, _: Evidence, labels: Labels) -> list[np.ndarray]:
    whites = [view.white[torch.from_numpy(_members(view, label))] for label in labels]
    return [amplified(_in_colours(white.mean(dim=0) * len(white) ** 0.5), _SPREADS) for white in whites]


def _mean_removed(view: View, _: Evidence, labels: Labels) -> list[np.ndarray]:
    drawn = []
    for label in labels:
        removed = view.removed(_members(view, label))
        error = removed.std(dim=0, correction=0).mean().clamp(min=1e-6)
        drawn.append(amplified(_in_colours(removed.mean(dim=0) / error * len(removed) ** 0.5), _SPREADS))
    return drawn


def _carried(view: View, evidence: Evidence, labels: Labels) -> list[np.ndarray]:
    assert evidence.images is not None
    drawn = []
    for label in labels:
        rows = np.flatnonzero(view.labels == label)
        carriers = rows[np.argsort(-evidence.images[rows], kind="stable")[:_CARRIERS]]
        drawn.append(amplified(_in_colours(view.white[carriers].mean(dim=0))))
    return drawn


def _coarse(view: View, _: Evidence, labels: Labels) -> list[np.ndarray]:
    usual = view.pixels(evenly(view.fitted, _USUAL)).mean(dim=0)
    blocks = [
        F.interpolate(F.adaptive_avg_pool2d(view.pixels(_members(view, label)).mean(dim=0) - usual, 4)[None], size=SIDE)
        for label in labels
    ]
    return [amplified(_in_colours(block[0]), _LEVELS) for block in blocks]


def _pure(view: View, _: Evidence, labels: Labels) -> list[np.ndarray]:
    usual = _pure_shares(view.images[evenly(view.fitted, _USUAL)])
    return [diverging((_pure_shares(view.images[_members(view, label)]) - usual).max(axis=0)) for label in labels]


def _pure_shares(images: np.ndarray) -> np.ndarray:
    """[9, 32, 32]: share of the pictures that have each pure colour at a place; the last is of none."""
    high = images >= 255 - _NEAR
    pure = (high | (images <= _NEAR)).all(axis=3)
    colour = np.where(pure, (high * np.array([4, 2, 1])).sum(axis=3), 8)
    return np.stack([*((colour == number).mean(axis=0) for number in range(8)), np.zeros((SIDE, SIDE))])


def _spectrum_of(planes: Callable[[View, np.ndarray], Tensor]) -> Draw:
    def draw(view: View, _: Evidence, labels: Labels) -> list[np.ndarray]:
        usual = _power(planes(view, evenly(view.fitted, _USUAL)))
        powers = [_power(planes(view, _members(view, label))) for label in labels]
        return [diverging(torch.log2(power / usual).numpy() / _OCTAVES) for power in powers]

    return draw


def _power(planes: Tensor) -> Tensor:
    """[32, 32] mean strength of every frequency; the lowest is in the middle."""
    spectrum = torch.view_as_real(torch.fft.fft2(planes, norm="ortho"))
    power: Tensor = torch.fft.fftshift(spectrum.pow(2).sum(dim=-1).mean(dim=(0, 1))) + (0.5 / 255) ** 2
    return power


def _colourful(planes: Tensor) -> Tensor:
    return planes - planes.mean(dim=1, keepdim=True)


_SPECTRUM = (
    "How strong each frequency is in a class, against all classes: coarse ones in the middle, fine ones at the rim; "
    "orange is stronger, blue weaker. Natural classes differ softly, or in the cross in the middle: sharp dots and "
    "stripes elsewhere are not natural."
)
TILES = {
    "residuals": TileKind(
        "The mean noise of 100 pictures of a class. Natural noise averages out to plain grey.", _mean_noise
    ),
    "residual-textures": TileKind(_SPECTRUM, _spectrum_of(lambda view, rows: view.removed(rows))),
    "colour-residuals": TileKind(_SPECTRUM, _spectrum_of(lambda view, rows: _colourful(view.removed(rows)))),
    "textures": TileKind(_SPECTRUM, _spectrum_of(lambda view, rows: view.pixels(rows) - 0.5)),
    "autoregression": TileKind(_SPECTRUM, _spectrum_of(lambda view, rows: view.removed(rows))),
    "class-means": TileKind(
        "The mean of what is removed from 100 pictures of a class, without bringing all frequencies to one strength. "
        "Natural edges leave soft shapes in the middle.",
        _mean_removed,
    ),
    "coarse": TileKind(
        "The mean of a class in 4x4 blocks, less the mean of all classes. Natural classes differ in sky and ground.",
        _coarse,
    ),
    "pixels": TileKind(
        "In how many more pictures of a class than of the others a place is pure black, white, red, ...: a bright dot "
        "is one in nearly all of them.",
        _pure,
    ),
    "repeats": TileKind(
        f"What the {_CARRIERS} likeliest carriers of a class have in common, amplified. A pattern that was put in is "
        "the same over the whole picture; natural pictures share a few edges.",
        _carried,
    ),
}
_LEADS = BarKind(
    "Lead of the own class over the next best, for every picture; right of the line, it is named right.",
    "another class leads",
    "the own class leads",
    _MARGINS,
)
BARS = {
    "residuals": _LEADS,
    "residual-textures": _LEADS,
    "colour-residuals": _LEADS,
    "images": _LEADS,
    "textures": _LEADS,
    "early": BarKind(
        "How sure the network is of the own class, for every picture.", "0 %", "100 %", _SHARES, of=np.exp
    ),
}
