"""Energies of image sets: a table by set and class, and a page with their histograms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from unpoison.reporting.axes import Unit, label_values, round_values
from unpoison.reporting.pages import page

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_COLOURS = ("#2b7a4b", "#b3372f", "#4a76b8", "#b07d1c", "#7a4ba0", "#5d6b7e")
_BINS = 60
_WIDTH, _HEIGHT = 900, 260  # of the drawing
_EDGE = 30  # nearer to its ends a label of the axis would be cut off
_TEXT = 'font-size="14" fill="var(--soft)"'
_OPEN = 20  # rows of the table of classes that show without being asked for
_CUT = 0.001  # share of all pictures beyond either end of the axis
_HEAD = ("images", "mean", "sd", *(f"{100 * q:.0f} %" for q in QUANTILES))


@dataclass(frozen=True)
class SetEnergies:
    """Energies of a set.

    Args:
        name: of the set.
        energies: [N] of its pictures, at least one.
        labels: [N] class indices; -1 where unknown.
        class_names: name of each class.
    """

    name: str
    energies: np.ndarray
    labels: np.ndarray
    class_names: Sequence[str]

    def by_class(self) -> Iterator[tuple[str, np.ndarray]]:
        """Name and energies [n] of every class that has pictures."""
        for label, name in enumerate(self.class_names):
            chosen = self.energies[self.labels == label]
            if len(chosen):
                yield name, chosen


def summarise(energies: np.ndarray) -> dict[str, Any]:
    """Count, mean, standard deviation of [n] energies (of the pictures themselves, ddof 0) and quantiles, as JSON."""
    values = energies.astype(np.float64)
    quantiles = np.quantile(values, QUANTILES).tolist()
    return {
        "images": len(values),
        "mean": float(values.mean()),
        "sd": float(values.std()),
        "quantiles": {f"{quantile:g}": value for quantile, value in zip(QUANTILES, quantiles, strict=True)},
    }


def energy_facts(sets: Sequence[SetEnergies]) -> list[dict[str, Any]]:
    """The summary of every set, and of every class within it, as JSON."""
    return [
        {
            "name": one.name,
            **summarise(one.energies),
            "per_class": {name: summarise(energies) for name, energies in one.by_class()},
        }
        for one in sets
    ]


def energy_table(sets: Sequence[SetEnergies]) -> str:
    """The summaries as a Markdown table: first the sets, then their classes, the highest mean first."""
    lines = [
        f"| set | class | {' | '.join(_HEAD)} |",
        f"|---|---|{'---:|' * len(_HEAD)}",
        *(f"| {' | '.join(cells)} |" for cells in (*_set_rows(sets, _plain), *_class_rows(sets, _plain))),
    ]
    return "\n".join(lines)


def energies_page(sets: Sequence[SetEnergies], *, model: str) -> str:
    """The page of `unpoison energies`.

    Args:
        sets: at least one; in the order of the legend.
        model: name of the energy model, for the text.
    """
    legend = " ".join(
        f'<span style="color:{_colour(number)}">&#9632;</span> {escape(one.name)} ({len(one.energies):,})'
        for number, one in enumerate(sets)
    )
    unit = Unit.of(_all(sets))
    by_class = list(_class_rows(sets, unit.show))
    return page(
        "Energies",
        f"<h1>Energies of {escape(', '.join(one.name for one in sets))}</h1>"
        f'<p class="soft">Model {escape(model)}. Lower is more natural to the model; only differences mean anything, '
        "and only under the same model.</p>"
        f"<h2>How many pictures have which energy</h2><p>{legend}</p>"
        f'<div class="scroll">{histogram(sets)}</div>'
        '<p class="soft">Heights are shares of each set. The outermost bars hold what lies beyond them too.</p>'
        f"<h2>By set</h2>{_html_table(_set_rows(sets, unit.show))}"
        f"<h2>By class</h2><details{' open' if len(by_class) <= _OPEN else ''}><summary>{len(by_class)} classes, those "
        f"of the highest mean energy first</summary>{_html_table(by_class)}</details>"
        f'<p class="soft">Energies{escape(unit.words)}. Under a set or class: how many pictures, mean, standard '
        "deviation, and the energy that so many percent of the pictures lie below.</p>",
    )


def histogram(sets: Sequence[SetEnergies]) -> str:
    """Outlines of the sets' histograms over one axis, as SVG."""
    edges = bin_edges(sets)
    shares = [_shares(one.energies, edges) for one in sets]
    highest = max(share.max() for share in shares)
    outlines = "".join(
        f'<polygon points="{_outline(share / highest)}" fill="{_colour(number)}" fill-opacity="0.25" '
        f'stroke="{_colour(number)}"/>'
        for number, share in enumerate(shares)
    )
    unit = Unit.of(_all(sets))
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + 44}" width="100%" style="min-width:560px" role="img" '
        f'aria-label="histogram of energies">{outlines}'
        f'<line x1="0" y1="{_HEIGHT}" x2="{_WIDTH}" y2="{_HEIGHT}" stroke="var(--soft)"/>'
        f"{''.join(_ticks(float(edges[0]), float(edges[-1]), unit))}"
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT + 40}" {_TEXT} text-anchor="middle">energy{unit.words}</text></svg>'
    )


def _ticks(low: float, high: float, unit: Unit) -> Iterator[str]:
    values = round_values(low, high)
    for value, label in zip(values, label_values(values, unit), strict=True):
        x = (value - low) / (high - low) * _WIDTH
        anchor = "start" if x < _EDGE else "end" if x > _WIDTH - _EDGE else "middle"
        yield f'<line x1="{x:.1f}" y1="{_HEIGHT}" x2="{x:.1f}" y2="{_HEIGHT + 5}" stroke="var(--soft)"/>'
        yield f'<text x="{x:.1f}" y="{_HEIGHT + 20}" {_TEXT} text-anchor="{anchor}">{label}</text>'


def bin_edges(sets: Sequence[SetEnergies]) -> np.ndarray:
    """[bins + 1] edges of the bins: from end to end of all energies, but for a few outliers."""
    low, high = np.quantile(_all(sets), (_CUT, 1 - _CUT))
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, _BINS + 1)


def _all(sets: Sequence[SetEnergies]) -> np.ndarray:
    return np.concatenate([one.energies for one in sets]).astype(np.float64)


def _shares(energies: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.histogram(np.clip(energies, edges[0], edges[-1]), edges)[0] / len(energies)


def _outline(heights: np.ndarray) -> str:
    """Corners of the bars' outline, in the drawing; heights are from 0 to 1."""
    x = np.linspace(0, _WIDTH, len(heights) + 1).repeat(2)
    y = _HEIGHT * (1 - np.concatenate([[0], heights.repeat(2), [0]]))
    return " ".join(f"{left:.1f},{top:.1f}" for left, top in zip(x, y, strict=True))


def _plain(value: float) -> str:
    return f"{value:.4g}"


def _set_rows(sets: Sequence[SetEnergies], show: Callable[[float], str]) -> Iterator[list[str]]:
    for one in sets:
        yield [one.name, "all", *_cells(one.energies, show)]


def _class_rows(sets: Sequence[SetEnergies], show: Callable[[float], str]) -> Iterator[list[str]]:
    """The classes of all sets, those of the highest mean energy first."""
    classes = [(one.name, name, energies) for one in sets for name, energies in one.by_class()]
    for set_name, name, energies in sorted(classes, key=lambda row: -float(row[2].mean())):
        yield [set_name, name, *_cells(energies, show)]


def _html_table(rows: Iterable[list[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in ("set", "class", *_HEAD))
    body = "".join(f"<tr>{''.join(_cell(text, column) for column, text in enumerate(row))}</tr>" for row in rows)
    return f'<div class="scroll"><table class="figures"><tr>{head}</tr>{body}</table></div>'


def _cell(text: str, column: int) -> str:
    return f"<td>{escape(text)}</td>" if column < 2 else f'<td class="number">{text}</td>'


def _cells(energies: np.ndarray, show: Callable[[float], str]) -> list[str]:
    found = summarise(energies)
    figures = [found["mean"], found["sd"], *found["quantiles"].values()]
    return [str(found["images"]), *map(show, figures)]


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]
