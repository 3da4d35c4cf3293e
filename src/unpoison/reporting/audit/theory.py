"""The theory of a known perturbation: in a few lines, as a table of several sets, and as a section of the page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from unpoison.auditing.theory import GREY, NOISE, Diagnostics, Level

CAVEAT = (
    "None of it is a proof: a bound says what cannot happen, not what does, and what one model cannot read another may."
)
_SHOWN = (100, 1000, 2000)  # steps of the schedule that are named on the curve
_WIDTH, _HEIGHT, _LEFT, _TOP = 480, 260, 64, 12  # of the drawing; what its numbers take on the left
_NOISE = (2, 5, 10, 20, 50, 100, 200)  # levels of 255 on the axis
_TEXT = 'font-size="13" fill="var(--soft)"'


@dataclass(frozen=True)
class Row:
    """One diagnostic.

    Args:
        title: what was measured.
        value: its numbers.
        meaning: a sentence on what they mean.
    """

    title: str
    value: str
    meaning: str


def theory_rows(theory: Diagnostics) -> list[Row]:
    """The five diagnostics in words."""
    (hundred,) = (one for one in theory.levels if one.t == 100)
    alone = f"{_nats(hundred.nats)} at {_levels(hundred.sigma)}, ECLIPSE's t = 100"
    if theory.sigma is not None and theory.noise_cap is not None:
        alone += f"; {_nats(theory.noise_cap)} at {_levels(theory.sigma)}, the noise of {theory.method}"
    caps = f"{_nats(theory.training_cap)} by the noise of training"
    if theory.noise_cap is not None:
        caps = f"{_nats(theory.noise_cap)} by the noise of {theory.method}, {caps}"
    errors = "; ".join(f"{one.poisoned:.3f} against {one.clean:.3f} at {_levels(one.sigma)}" for one in theory.denoiser)
    parts = ", ".join(f"{one.part} {_share(one.ratio)}" for one in theory.remaining)
    before, after = theory.before, theory.after
    return [
        Row(
            "bound after noise alone",
            f"{alone}; 1 nat only at {_levels(theory.one_nat)}",
            "Nats say how far poisoned pictures can differ from clean ones as a whole. Noise hides the perturbation "
            "for certain only well below 1; above, whoever knows it may still see it: the denoiser has to do the work.",
        ),
        Row(
            "bound after everything",
            f"at most {_nats(theory.cap)}: {caps}",
            "Denoising and training cannot add to a difference, so the smaller cap holds: by the noise that the "
            "purifier begins with, or by what it leaves, under ECLIPSE's training "
            f"({100 * GREY:.0f} % in grey, noise {_levels(NOISE)}).",
        ),
        Row(
            "error of the denoiser, poisoned against clean",
            errors,
            "Error of the noise that is estimated, in units of the noise: the more it errs on poisoned pictures, the "
            "more of the perturbation it takes for noise.",
        ),
        Row(
            "left by the purifier",
            f"{parts}; energy {_share(theory.energy)}",
            "How much of the perturbation stands where it stood, by fineness and in the means of classes: 100 % is "
            "all, 0 % nothing. Energy also counts what it was turned into.",
        ),
        Row(
            "class read by a linear model, before and after",
            f"poisoned {_share(before.poisoned)} to {_share(after.poisoned)}, "
            f"clean {_share(before.clean)} to {_share(after.clean)}, "
            f"difference {_share(before.difference)} to {_share(after.difference)}",
            "0 % is chance. Poisoned pictures should in the end say no more of their class than clean ones; their "
            "difference is seen only by somebody who has both.",
        ),
    ]


def describe_theory(theory: Diagnostics) -> str:
    """The five diagnostics for a terminal."""
    lines = [f"theory: {_about(theory)}"]
    for number, row in enumerate(theory_rows(theory), start=1):
        lines += [f"  {number}. {row.title}: {row.value}", f"     {row.meaning}"]
    return "\n".join([*lines, f"  {CAVEAT}"])


def theory_table(sets: Mapping[str, Diagnostics]) -> str:
    """Several sets as a Markdown table.

    Args:
        sets: name -> what was found; at least one.
    """
    rows = {name: theory_rows(one) for name, one in sets.items()}
    titles = [row.title for row in next(iter(rows.values()))]
    lines = ["| set | " + " | ".join(titles) + " |", "|---|" + "---|" * len(titles)]
    lines += [f"| {name} | " + " | ".join(row.value for row in found) + " |" for name, found in rows.items()]
    return "\n".join(lines)


def theory_section(theory: Diagnostics) -> str:
    """The section of the page."""
    rows = "".join(
        f"<li><b>{escape(row.title)}</b><p>{escape(row.value)}</p><p class='soft'>{escape(row.meaning)}</p></li>"
        for row in theory_rows(theory)
    )
    return (
        f'<section id="theory"><h2>What theory says</h2><p>{escape(_about(theory))} {escape(CAVEAT)}</p>'
        f"<figure>{curve(theory)}<figcaption>Most that poisoned and clean pictures can differ once noise was added. "
        "Only well below 1 nat are they hard to tell apart for certain, and under so much noise little is seen of "
        f"pictures either. Both axes are logarithmic.</figcaption></figure><ol>{rows}</ol></section>"
    )


def curve(theory: Diagnostics) -> str:
    """The bound over noise as SVG, with the noise of the purifier."""
    noise = [math.log10(255 * one.sigma) for one in theory.levels]
    nats = [math.log10(one.nats) for one in theory.levels]
    low, high = min(0.0, math.floor(min(nats))), math.ceil(max(nats))

    def x(level: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - 8) * (math.log10(level) - noise[0]) / (noise[-1] - noise[0])

    def y(value: float) -> float:
        return _TOP + _HEIGHT * (high - math.log10(value)) / (high - low)

    def at(one: Level) -> tuple[float, float]:
        return x(255 * one.sigma), y(one.nats)

    bottom = _TOP + _HEIGHT
    drawn = [f'<line x1="{_LEFT}" y1="{bottom}" x2="{_WIDTH}" y2="{bottom}" stroke="var(--soft)"/>']
    for power in range(int(low), int(high) + 1):
        across = y(10.0**power)
        dash = 'stroke="var(--bad)" stroke-dasharray="5 4"' if power == 0 else 'stroke="var(--line)"'
        drawn.append(f'<line x1="{_LEFT}" y1="{across:.1f}" x2="{_WIDTH}" y2="{across:.1f}" {dash}/>')
        drawn.append(_label(_LEFT - 6, across + 4, f"{10.0**power:,g}", "end"))
    drawn += [_label(x(level), bottom + 18, str(level), "middle") for level in _NOISE]
    drawn.append(_label(_WIDTH - 4, bottom + 36, "standard deviation of the noise, in levels of 255", "end"))
    drawn.append(_label(_LEFT + 4, _TOP + 12, "nats", "start"))
    if theory.sigma is not None:
        place = x(255 * theory.sigma)
        drawn.append(
            f'<line x1="{place:.1f}" y1="{_TOP}" x2="{place:.1f}" y2="{bottom}" stroke="var(--ink)" '
            f'stroke-dasharray="2 4"/>{_label(place + 6, _TOP + 12, f"noise of {theory.method}", "start")}'
        )
    points = " ".join("{:.1f},{:.1f}".format(*at(one)) for one in theory.levels)
    drawn.append(f'<polyline points="{points}" fill="none" stroke="var(--fill)" stroke-width="2.5"/>')
    for one in theory.levels:
        if one.t in _SHOWN:
            left, top = at(one)
            drawn.append(f'<circle cx="{left:.1f}" cy="{top:.1f}" r="4.5" fill="var(--fill)"/>')
            drawn.append(_label(left + 7, top - 7, f"t = {one.t}", "start"))
    return (
        f'<svg viewBox="0 0 {_WIDTH} {bottom + 42}" width="100%" style="max-width:44rem" role="img" '
        f'aria-label="bound over noise">{"".join(drawn)}</svg>'
    )


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {_TEXT} text-anchor="{anchor}">{escape(text)}</text>'


def _about(theory: Diagnostics) -> str:
    return (
        f"{theory.pictures:,} of {theory.images:,} pictures, evenly over the classes, beside their originals in "
        f"{theory.originals}; {theory.changed:,} of them differ; length of the perturbation "
        f"{theory.squared_length**0.5:.2f}, root of its mean square, pixels from 0 to 1. Purifier: {theory.method}."
    )


def _nats(value: float) -> str:
    return f"{value:,.0f} nats" if value >= 10 else f"{value:.2g} nats"


def _levels(sigma: float) -> str:
    return f"{255 * sigma:.3g}/255"


def _share(value: float) -> str:
    return f"{100 * value:.0f} %".replace("-0 ", "0 ").replace("-", "\N{MINUS SIGN}")
