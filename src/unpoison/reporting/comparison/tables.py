"""A comparison as Markdown, as a page, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby
from typing import Any

from unpoison.reporting.comparison.matching import Comparison, Pair
from unpoison.reporting.pages import page

_COLUMNS = ("attack", "defence", "figure", "published", "ours", "difference", "setting of this row")
_EXPLAINED = (
    "Figures in %: `accuracy` of clean test pictures, `success` of the attack, and `worst`, its success at the worst "
    "target class. The difference is ours less the published figure, in points; the intervals of 95 % are of ours, as "
    "in table.md. Each list of differences says what it is here, then what it was there. Settings of a poison are "
    "compared with those of its own paper. Nothing is left out because it disagrees."
)


def comparison_text(comparison: Comparison) -> str:
    """The whole comparison as Markdown."""
    lines = [f"# {comparison.title}: beside published figures", "", _EXPLAINED, ""]
    for heading, notes, rows in _sections(comparison.pairs):
        lines += [f"## {heading}", "", *(f"{note}\n" for note in notes)]
        lines += [f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
        lines.append("")
    return "\n".join([*lines, _rest(comparison)]) + "\n"


def comparison_page(comparison: Comparison) -> str:
    """The whole comparison as a page."""
    body = [f"<h1>{escape(comparison.title)}: beside published figures</h1>"]
    body.append(f'<p class="soft">{escape(_EXPLAINED.replace("`", ""))}</p>')
    for heading, notes, rows in _sections(comparison.pairs):
        body.append(f"<h2>{escape(heading)}</h2>")
        body += [f"<p>{escape(note)}</p>" for note in notes]
        head = "".join(f"<th>{escape(column)}</th>" for column in _COLUMNS)
        cells = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
        table = "".join(f"<tr>{row}</tr>" for row in cells)
        body.append(f'<div class="scroll"><table class="figures"><tr>{head}</tr>{table}</table></div>')
    body.append(f'<p class="soft">{escape(_rest(comparison))}</p>')
    return page(f"{comparison.title}: beside published figures", "\n".join(body))


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The whole comparison for a program; figures in %."""
    return {
        "compared": [_as_json(pair) for pair in comparison.pairs],
        "not_published": [{"attack": row, "defence": column} for row, column in comparison.alone],
        "published": comparison.published,
    }


def _sections(pairs: Sequence[Pair]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Heading, notes and rows of each table; what all rows differ in is a note."""
    sections = []
    for _, group in groupby(pairs, key=lambda pair: id(pair.figure.table)):
        found = list(group)
        table, paper = found[0].figure.table, found[0].figure.paper
        common = [one for one in found[0].differences if all(one in pair.differences for pair in found)]
        notes = [f"{paper.paper}. {paper.link}".rstrip(), f"Read in {table.source}."]
        if table.unverified:
            notes.append(f"Unverified: {table.unverified}.")
        if common:
            notes.append(f"In all rows: {'; '.join(common)}.")
        sections.append((f"{paper.name}: {table.name}", notes, [_row(pair, common) for pair in found]))
    return sections


def _row(pair: Pair, common: Sequence[str]) -> list[str]:
    figure, metric = pair.figure, pair.metric
    deviation = "" if figure.deviation is None else f" (deviation {figure.deviation:g})"
    interval = f" ({100 * metric.low:.1f} to {100 * metric.high:.1f})" if metric.low < metric.high else ""
    shown = [
        pair.ours.row,
        pair.ours.column,
        figure.measure,
        f"{figure.value:g}{deviation}",
        f"{100 * metric.value:.1f}{interval}",
        f"{pair.gap:+.1f}",
        "; ".join(one for one in pair.differences if one not in common),
    ]
    return [" ".join(cell.replace("|", " ").split()) for cell in shown]


def _rest(comparison: Comparison) -> str:
    found = len({id(pair.figure) for pair in comparison.pairs})
    text = f"Of {comparison.published:,} published figures, {found} have a counterpart in these records."
    if comparison.alone:
        cells = ", ".join(f"{row} / {column}" for row, column in comparison.alone)
        text += f" Nothing is published here for: {cells}."
    return text


def _as_json(pair: Pair) -> dict[str, Any]:
    figure, metric = pair.figure, pair.metric
    return {
        "paper": figure.paper.paper,
        "link": figure.paper.link,
        "table": figure.table.name,
        "source": figure.table.source,
        "unverified": figure.table.unverified,
        "attack": pair.ours.row,
        "defence": pair.ours.column,
        "figure": figure.measure,
        "published": figure.value,
        "published_deviation": figure.deviation,
        "ours": round(100 * metric.value, 4),
        "low": round(100 * metric.low, 4),
        "high": round(100 * metric.high, 4),
        "trainings": pair.ours.trainings,
        "difference": round(pair.gap, 4),
        "setting": list(pair.differences),
    }
