"""Distances of purified pictures to clean and to poisoned ones: a table, and a page with their curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from unpoison.reporting.axes import Unit, label_values, round_values
from unpoison.reporting.pages import page
from unpoison.studies.distances import Station, crossing

_CLEAN, _POISONED, _CONTROL = "#2b7a4b", "#b3372f", "#4a76b8"


@dataclass(frozen=True)
class _Curve:
    """A curve of the page, and a column of the table.

    Args:
        name: what is measured.
        field: of `Station`.
        colour: of the line.
        dashed: what is seen through where two lines nearly agree.
    """

    name: str
    field: str
    colour: str
    dashed: bool = False


_DISTANCES = (
    _Curve("purified poison to clean", "to_clean", _CLEAN),
    _Curve("purified poison to poison", "to_poisoned", _POISONED),
    _Curve("purified clean to clean", "clean_to_clean", _CONTROL, dashed=True),
)
_ENERGIES = (
    _Curve("energy of purified poison", "energy", _POISONED),
    _Curve("energy of purified clean", "clean_energy", _CONTROL, dashed=True),
)
_WIDTH, _HEIGHT, _LEFT = 900, 260, 80  # of the drawing, and what its numbers take of the width
_QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


def distance_table(stations: Sequence[Station], *, field: str) -> str:
    """The stations as a Markdown table.

    Args:
        stations: at least one.
        field: the setting that says how far the method goes.
    """
    head, rows = _head(stations[0], field), [_cells(station) for station in stations]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---:"] * len(head), *rows))


def describe_crossing(stations: Sequence[Station], *, field: str) -> str:
    """Where purification has brought poisoned pictures nearer to the clean ones, as a sentence."""
    found = crossing(stations)
    if found is None:
        return (
            f"Up to {field} = {stations[-1].strength}, purified poisoned pictures do not, on average, come to stay "
            "nearer to the clean ones than to the poisoned ones."
        )
    return (
        f"From {field} = {found.strength} on, purified poisoned pictures are on average nearer to the clean ones than "
        "to the poisoned ones."
    )


def distances_page(stations: Sequence[Station], *, field: str, method: str, model: str, pictures: int) -> str:
    """The page of `unpoison distances`.

    Args:
        stations: at least one.
        field: the setting that says how far the method goes.
        method: the purifier.
        model: name of its model.
        pictures: how many were purified.
    """
    start = stations[0]
    body = [
        f"<h1>Where {escape(method)} takes poisoned pictures</h1>",
        f'<p class="soft">Model {escape(model)}, {pictures:,} pictures. Distances are Euclidean norms over all values '
        "of a picture, in [0, 1] units, as a mean over the pictures; pictures are in 8 bits, as they are stored. The "
        f"poison itself is {start.to_clean:.3g} long, in the mean.</p>",
        f"<h2>Distances over {escape(field)}</h2><p>{_legend(_DISTANCES)}</p>",
        chart(stations, _DISTANCES, field=field, from_zero=True),
        f"<p>{escape(describe_crossing(stations, field=field))}</p>",
        '<p class="soft">A picture is nearer to the clean one exactly if more than half of the poison, along the '
        "poison's own direction, is gone. What purification does to any picture adds to all distances.</p>",
    ]
    if start.energy is not None:
        body += [
            f"<h2>Energy over {escape(field)}</h2><p>{_legend(_ENERGIES)}</p>",
            chart(stations, _ENERGIES, field=field, from_zero=False),
            '<p class="soft">Means; lower is more natural to the model.</p>',
        ]
    head = "".join(f"<th>{escape(cell)}</th>" for cell in _head(stations[0], field))
    rows = "".join(f"<tr>{_row(station)}</tr>" for station in stations)
    body.append(f'<h2>In numbers</h2><div class="scroll"><table class="figures"><tr>{head}</tr>{rows}</table></div>')
    return page("Distances", "".join(body))


def chart(stations: Sequence[Station], curves: Sequence[_Curve], *, field: str, from_zero: bool) -> str:
    """Curves over the strength as SVG, with the crossing as a vertical line.

    Args:
        stations: at least one.
        curves: what to draw.
        field: name of the horizontal axis.
        from_zero: the vertical axis begins at 0, else at the lowest value.
    """
    heights: list[list[float]] = [[getattr(station, curve.field) for station in stations] for curve in curves]
    low = 0.0 if from_zero else min(map(min, heights))
    high = max(map(max, heights))
    last = stations[-1].strength
    values = round_values(low, high) if high > low else [low]
    unit = Unit.of(np.array(heights))

    def x(strength: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - 8) * strength / (last or 1)

    def y(value: float) -> float:
        return 8 + _HEIGHT * (high - value) / ((high - low) or 1)

    drawn = [
        f'<line x1="{_LEFT}" y1="{y(low):.1f}" x2="{_WIDTH}" y2="{y(low):.1f}" stroke="var(--soft)"/>',
        *(_text(x(part * last), _HEIGHT + 26, f"{part * last:.4g}", "middle") for part in _QUARTERS[:-1]),
        _text(_WIDTH, _HEIGHT + 26, f"{field} {last}", "end"),
        *(
            _text(_LEFT - 8, y(value) + 4, label, "end")
            for value, label in zip(values, label_values(values, unit), strict=True)
        ),
    ]
    if found := crossing(stations):
        across = x(found.strength)
        aside, anchor = (-6, "end") if across > _WIDTH / 2 else (6, "start")
        drawn.append(
            f'<line class="crossing" x1="{across:.1f}" y1="8" x2="{across:.1f}" y2="{_HEIGHT + 8}" stroke="var(--ink)" '
            f'stroke-dasharray="5 4"/>{_text(across + aside, _HEIGHT, f"from {found.strength} on", anchor)}'
        )
    if unit.exponent:
        drawn.append(_text(_LEFT + 8, 18, unit.words.strip(), "start"))
    for curve, reached in zip(curves, heights, strict=True):
        corners = [(x(station.strength), y(value)) for station, value in zip(stations, reached, strict=True)]
        points = " ".join(f"{left:.1f},{top:.1f}" for left, top in corners)
        dash = ' stroke-dasharray="4 5"' if curve.dashed else ""
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{curve.colour}" stroke-width="2"{dash}/>')
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + 34}" width="100%" role="img" '
        f'aria-label="curves over {escape(field)}">{"".join(drawn)}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="13" fill="var(--soft)" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _legend(curves: Sequence[_Curve]) -> str:
    return " ".join(f'<span style="color:{curve.colour}">&#9632;</span> {curve.name}' for curve in curves)


def _columns(station: Station) -> list[_Curve]:
    return [*_DISTANCES, *(_ENERGIES if station.energy is not None else ())]


def _head(station: Station, field: str) -> list[str]:
    return [field, "nearer to clean", *(curve.name for curve in _columns(station))]


def _row(station: Station) -> str:
    return "".join(f'<td class="number">{cell}</td>' for cell in _cells(station))


def _cells(station: Station) -> list[str]:
    figures = [f"{getattr(station, curve.field):.4g}" for curve in _columns(station)]
    return [str(station.strength), f"{100 * station.nearer_to_clean:.1f} %", *figures]
