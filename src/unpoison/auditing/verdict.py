"""Verdict: evidence against what clean sets that are as hard by nature show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from unpoison.auditing.expectations import (
    SIGNS,
    Expectation,
    Measured,
    clean_surprises,
    expectations,
    from_scale,
    on_scale,
)
from unpoison.core.records import Metric
from unpoison.scoring.intervals import share

Answer = Literal["poisoned", "nothing found", "cannot tell"]

THRESHOLD = 3.25  # standard deviations; clean sets that were left out reach 3.0
ALIKE = 0.8  # how much of what surprises in trusted pictures is expected of a set of the same kind
_STRONG = ("residuals.advantage", "residual-textures.advantage")  # which most poisons bring to 1
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
        as_surprising: share of the clean sets known that surprise as much, each judged by others alone.
        findings: every sign, the most surprising first.
        reason: why it cannot tell; empty otherwise.
    """

    answer: Answer
    as_surprising: Metric
    findings: tuple[Finding, ...]
    reason: str = ""

    @property
    def speaking(self) -> tuple[Finding, ...]:
        """Findings that clean sets hardly ever show."""
        return tuple(one for one in self.findings if one.surprise > THRESHOLD)


def judge(
    views: Mapping[str, Measured],
    *,
    images: int,
    classes: int,
    trusted: Mapping[str, Measured] | None = None,
    compared: Sequence[Finding] = (),
) -> Verdict:
    """Weigh the evidence of every view.

    Args:
        views: what was measured in each; empty where a set is too small.
        images: how many pictures the set has.
        classes: how many classes.
        trusted: the same of trusted pictures of the same kind.
        compared: findings of the set against those pictures, which take the place of the same signs.
    """
    findings = [finding for view, measured in views.items() for finding in findings_of(view, measured)]
    if trusted:
        usual = {(one.view, one.sign): one.surprise for view in trusted for one in findings_of(view, trusted[view])}
        findings = [_compared(one, usual.get((one.view, one.sign), 0.0)) for one in findings]
    better = {(one.view, one.sign) for one in compared}
    findings = [*compared, *(one for one in findings if (one.view, one.sign) not in better)]
    findings.sort(key=lambda one: -one.surprise)
    most = findings[0].surprise if findings else 0.0
    clean = clean_surprises()
    as_surprising = share(int((clean >= most).sum()), len(clean))
    if most > THRESHOLD:
        return Verdict("poisoned", as_surprising, tuple(findings))
    if reason := too_few(images, classes) or _blind(views):
        return Verdict("cannot tell", as_surprising, tuple(findings), reason)
    return Verdict("nothing found", as_surprising, tuple(findings))


def findings_of(view: str, measured: Measured, known: Mapping[str, Expectation] | None = None) -> list[Finding]:
    """Every sign whose value was measured.

    Args:
        view: in which view of the pictures.
        measured: what it shows.
        known: what clean sets show, by sign; what comes with the package if left out.
    """
    known = known or expectations()
    nature, findings = measured.nature()[None], []
    for sign in known.keys() & measured.values.keys():
        (mean,), (spread,) = known[sign].expect(nature)
        surprise = float((measured.on_scale(sign) - mean) / spread)
        findings.append(Finding(view, sign, measured.values[sign], from_scale(SIGNS[sign], float(mean)), surprise))
    return findings


def _blind(views: Mapping[str, Measured]) -> str:
    """Why even a strong poison would not show; empty if it would, in some view."""
    for measured in views.values():
        nature = measured.nature()[None]
        for sign in _STRONG:
            (mean,), (spread,) = expectations()[sign].expect(nature)
            if on_scale(SIGNS[sign], 1.0) > mean + THRESHOLD * spread:
                return ""
    return "its classes are told apart so easily by nature, or so unlike known sets, that a poison would not show"


def _compared(finding: Finding, usual: float) -> Finding:
    """A finding where trusted pictures of the same kind surprise as well."""
    return replace(finding, surprise=finding.surprise - ALIKE * max(usual, 0.0))


def too_few(images: int, classes: int) -> str:
    """Why so few pictures say nothing; empty if they are enough."""
    if images >= FEWEST and images >= FEWEST_A_CLASS * classes:
        return ""
    return f"{images:,} pictures of {classes:,} classes; {max(FEWEST, FEWEST_A_CLASS * classes):,} are needed"
