"""Evidence as HTML: a card for each kind, its numbers on the scale of clean sets, and its drawings beside theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

import numpy as np

from unpoison.auditing.audit import Audit
from unpoison.auditing.evidence.words import WORDS
from unpoison.auditing.expectations import SIGNS
from unpoison.auditing.verdict import THRESHOLD, Finding
from unpoison.core.showing import data_uri
from unpoison.reporting.audit.clean import clean_bars, clean_tiles
from unpoison.reporting.audit.drawings import BARS, TILES, Bars, draw_bars, draw_tiles

_LOW, _HIGH = -4.0, 16.0  # standard deviations of clean sets: the ends of every scale
_USUAL = 2.0  # within which 19 of 20 clean sets lie
_ROOTS = "Heights grow with the square root, so that few pictures are seen too."
VIEWS = {
    "detail": "in the middle 32x32 pixels, as they are",
    "whole": "in the whole pictures, shrunk to 32x32",
}


@dataclass(frozen=True)
class Card:
    """One kind of evidence in one view.

    Args:
        view: the name of the view.
        kind: the kind of evidence.
        findings: its signs, the most surprising first; at least one.
    """

    view: str
    kind: str
    findings: Sequence[Finding]

    @property
    def surprise(self) -> float:
        """Of its most surprising sign."""
        return self.findings[0].surprise

    @property
    def speaks(self) -> bool:
        """Whether clean sets hardly ever show this."""
        return self.surprise > THRESHOLD


def cards(audit: Audit) -> list[Card]:
    """Every kind of evidence in every view, the strongest first."""
    ordered = sorted(audit.verdict.findings, key=lambda one: (one.view, one.kind, -one.surprise))
    grouped = groupby(ordered, key=lambda one: (one.view, one.kind))
    made = [Card(view, kind, list(findings)) for (view, kind), findings in grouped]
    return sorted(made, key=lambda card: -card.surprise)


def show_card(card: Card, audit: Audit) -> str:
    """A card that can be folded; open if it speaks."""
    words = WORDS[card.kind]
    tone, said = ("bad", "stands out") if card.speaks else ("good", "silent")
    where = f'<span class="soft">{VIEWS[card.view]}</span>' if len(audit.views) > 1 else ""
    rows = "".join(_row(one) for one in card.findings)
    return (
        f'<details class="card {tone}"{" open" if card.speaks else ""}><summary><span class="title">'
        f"{escape(words.title if card.speaks else _unsaid(words.title))} {where}</span>{scale(card.findings)}"
        f'<span class="said">{said}<br><b>{show_number(card.surprise)}</b></span></summary>'
        f"<p>{escape(words.about)}</p><p><b>Points to:</b> {escape(words.points_to)}</p>"
        f'<table class="signs"><tr class="heads"><th>measured</th><th>this set</th><th>clean sets alike</th>'
        f"<th>standard deviations above</th></tr>{rows}</table>{_drawings(card, audit)}</details>"
    )


def scale(findings: Sequence[Finding]) -> str:
    """Findings as dots on a scale of standard deviations of clean sets, with the clean range and the alarm marked."""
    dots = "".join(
        f'<b class="{"bad" if one.surprise > THRESHOLD else "good"}" style="left:{_place(one.surprise):.1f}%"></b>'
        for one in reversed(findings)
    )
    return f'<span class="scale" aria-hidden="true">{_ground()}{dots}</span>'


def scale_legend() -> str:
    """The same scale with numbers."""
    names = {-4: "\N{MINUS SIGN}4", 0: "0", 4: "+4", 8: "+8", 12: "+12", 16: "\N{GREATER-THAN OR EQUAL TO} 16"}
    ticks = "".join(f'<u style="left:{_place(number):.1f}%">{name}</u>' for number, name in names.items())
    return f'<span class="scale legend">{_ground()}{ticks}</span>'


def show_value(sign: str, value: float) -> str:
    """A value of the evidence in its unit."""
    return f"{100 * max(value, 0):.0f} %" if SIGNS[sign] == "share" else f"{value:.3g}"


def _unsaid(title: str) -> str:
    return f"Not seen: {title[0].lower()}{title[1:]}"


def _ground() -> str:
    left, right = _place(-_USUAL), _place(_USUAL)
    return (
        f'<i class="usual" style="left:{left:.1f}%;width:{right - left:.1f}%"></i>'
        f'<i class="alarm" style="left:{_place(THRESHOLD):.1f}%"></i>'
    )


def _place(surprise: float) -> float:
    """Percent of the scale's width."""
    return 100 * (float(np.clip(surprise, _LOW, _HIGH)) - _LOW) / (_HIGH - _LOW)


def show_number(deviations: float) -> str:
    """Standard deviations with their sign."""
    return f"{deviations:+.1f}".replace("-0.0", "+0.0").replace("-", "\N{MINUS SIGN}")


def _row(finding: Finding) -> str:
    words = WORDS[finding.kind].values[finding.sign.partition(".")[2]]
    return (
        f"<tr><td>{escape(words)}</td><td><b>{show_value(finding.sign, finding.measured)}</b></td>"
        f"<td>{show_value(finding.sign, finding.expected)}</td>"
        f'<td><span class="number">{show_number(finding.surprise)}</span>{scale([finding])}</td></tr>'
    )


def _drawings(card: Card, audit: Audit) -> str:
    view, evidence = audit.views[card.view], audit.evidence[card.view][card.kind]
    shown = []
    if (tiles := draw_tiles(card.kind, view, evidence)) is not None:
        names = [audit.class_names[label] for label in tiles.labels]
        shown.append(
            f"<p>{escape(TILES[card.kind].caption)}</p>"
            + _beside(_tiles(tiles.images, names), _tiles(clean_tiles(card.kind), None))
        )
    if (bars := draw_bars(card.kind, evidence)) is not None:
        clean = clean_bars()[card.kind]
        highest = max(bars.shares.max(), clean.shares.max())
        shown.append(
            f"<p>{escape(BARS[card.kind].caption)} {_ROOTS}</p>"
            + _beside(*(_bars(one, highest, card.kind) for one in (bars, clean)))
        )
    return "".join(shown)


def _beside(this: str, clean: str) -> str:
    return (
        f'<div class="beside"><figure><figcaption>This set</figcaption>{this}</figure>'
        f"<figure><figcaption>A clean set</figcaption>{clean}</figure></div>"
    )


def _tiles(images: np.ndarray, names: Sequence[str] | None) -> str:
    shown = [
        f'<span><img src="{data_uri(image)}" alt=""><small title="{escape(name)}">{escape(name)}</small></span>'
        for image, name in zip(images, names or [""] * len(images), strict=True)
    ]
    return f'<div class="tiles">{"".join(shown)}</div>'


def _bars(bars: Bars, highest: float, kind: str) -> str:
    steps = "".join(f'<i style="height:{100 * (share / highest) ** 0.5:.1f}%"></i>' for share in bars.shares)
    zero = 100 * (0 - bars.low) / (bars.high - bars.low)
    about = BARS[kind]
    return (
        f'<div class="bars">{steps}<u style="left:{zero:.1f}%"></u></div>'
        f'<p class="ends"><span>{escape(about.low)}</span><span>{escape(about.high)}</span></p>'
    )
