"""Verdict: evidence against what clean sets that are as hard by nature show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unpoison.auditing.expectations import SIGNS, Values, expectations, from_scale, nature, on_scale

Answer = Literal["poisoned", "nothing found", "cannot tell"]

THRESHOLD = 4.5  # standard deviations of clean sets
FEWEST = 200  # pictures below which nothing can be said
FEWEST_A_CLASS = 20


@dataclass(frozen=True)
class Finding:
    """One sign, against what clean sets alike show.

    Args:
        view: in which view of the pictures, `detail` or `whole`.
        sign: its name, `kind.name`, as in `expectations.SIGNS`.
        measured: what the set shows.
        expected: what clean sets as hard by nature show.
        surprise: how many standard deviations of clean sets it lies above that.
    """

    view: str
    sign: str
    measured: float
    expected: float
    surprise: float

    @property
    def kind(self) -> str:
        """The kind of evidence, as in `evidence.methods.METHODS`."""
        return self.sign.split(".", maxsplit=1)[0]


@dataclass(frozen=True)
class Verdict:
    """What the evidence comes to.

    Args:
        answer: `poisoned`, `nothing found` or `cannot tell`.
        probability: that the set is poisoned, if half of all sets were.
        findings: every sign, the most surprising first.
        reason: why it cannot tell; empty otherwise.
    """

    answer: Answer
    probability: float
    findings: tuple[Finding, ...]
    reason: str = ""

    @property
    def speaking(self) -> tuple[Finding, ...]:
        """Findings that clean sets hardly ever show."""
        return tuple(one for one in self.findings if one.surprise > THRESHOLD)


def judge(views: Mapping[str, Values], *, images: int, classes: int) -> Verdict:
    """Weigh the evidence of every view.

    Args:
        views: for each view, its evidence as `kind.name` -> value.
        images: how many pictures the set has.
        classes: how many classes have pictures.
    """
    findings = []
    for view, values in views.items():
        alike = nature(values, images, classes)
        for sign, scale in SIGNS.items():
            expectation = expectations()[sign]
            surprise = expectation.surprise(on_scale(scale, values[sign]), alike)
            expected = from_scale(scale, float(alike @ expectation.weights))
            findings.append(Finding(view, sign, values[sign], expected, surprise))
    findings.sort(key=lambda one: -one.surprise)
    most = findings[0].surprise
    probability = float(1 / (1 + np.exp(THRESHOLD - most)))
    if most > THRESHOLD:
        return Verdict("poisoned", probability, tuple(findings))
    if images < FEWEST or images < FEWEST_A_CLASS * classes:
        reason = f"{images} pictures of {classes} classes are too few"
        return Verdict("cannot tell", probability, tuple(findings), reason)
    return Verdict("nothing found", probability, tuple(findings))
