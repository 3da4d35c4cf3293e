"""Pages for people: one HTML file each, light or dark as the reader has it, without anything from outside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from unpoison.core.showing import data_uri
from unpoison.reporting.grid import Cell, Grid, clean_control, undefended
from unpoison.reporting.success import show_baseline, show_success
from unpoison.reporting.tables import describe_grid

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --raised: #f1f4f8; --ink: #1c2430; --soft: #5d6b7e; --line: #dde3ea;
  --good: #2b7a4b; --bad: #b3372f; --fill: #4a76b8; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181f; --raised: #222934; --ink: #e6eaf0; --soft: #9aa7b8;
  --line: #323b48; --good: #3f9c66; --bad: #cf5a50; --fill: #6f9bdc; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: .3rem; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
p.soft, td.soft, figcaption { color: var(--soft); font-size: .9rem; }
table { border-collapse: collapse; width: 100%; table-layout: fixed; }
td, th { box-sizing: border-box; padding: .35rem .6rem; border-bottom: 1px solid var(--line);
  text-align: left; vertical-align: middle; } td.number { text-align: right;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
td:nth-child(1) { width: 32%; } td:nth-child(2) { width: 20%; } td:nth-child(3) { width: 9%; }
td:nth-child(4) { width: 13%; }
.bar { position: relative; height: 1.1rem; background: var(--raised); }
.bar b { position: absolute; inset: 0 auto 0 0; background: var(--fill); }
.bar i { position: absolute; top: .45rem; height: .2rem; background: var(--ink); opacity: .55; }
.bar.good b { background: var(--good); } .bar.bad b { background: var(--bad); }
figure { margin: .4rem 0 1rem; } figure img { max-width: 100%; image-rendering: pixelated; display: block; }
b.figure { font-size: 1.7rem; margin-right: .4rem; } span.soft { color: var(--soft); font-size: .9rem; }
table.plain td { width: auto; padding: .2rem .6rem; overflow-wrap: anywhere; }
table.plain td:nth-child(1) { width: 30%; padding-left: 0; } table.plain td:nth-child(3) { width: 5rem; }
table.figures { table-layout: auto; width: auto; min-width: 100%; }
table.figures td:nth-child(n), table.figures th { width: auto; padding: .2rem .6rem; white-space: nowrap; }
table.figures th:nth-child(n+3) { text-align: right; }
.gallery { display: flex; flex-wrap: wrap; gap: 1.2rem 2rem; } .gallery figure { margin: 0; max-width: 100%; }
figcaption { overflow-wrap: anywhere; } figcaption b { color: var(--ink); }
.scroll { overflow-x: auto; } code { background: var(--raised); padding: .1rem .3rem; }
"""


@dataclass(frozen=True)
class Strip:
    """A row of pictures with a caption.

    Args:
        caption: what they show.
        image: [H, W, 3] uint8.
    """

    caption: str
    image: np.ndarray


def page(title: str, body: str, *, style: str = "", script: str = "") -> str:
    """A whole page around a body of HTML. No script runs but the given one, and nothing is fetched.

    Args:
        title: plain text.
        body: HTML; names that strangers gave are escaped in it.
        style: further rules.
        script: run when the page is there.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        f'content="{policy}"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}{style}</style></head>\n"
        f"<body>{body}{f'<script>{script}</script>' if script else ''}</body></html>\n"
    )


def grid_page(grid: Grid) -> str:
    """The page of a suite: every cell as a bar, with controls marked, and what the figures are."""
    body = [
        f"<h1>{escape(grid.suite.title or grid.suite.name)}</h1>",
        f'<p class="soft">{escape(describe_grid(grid))}</p>',
    ]
    for attack in grid.suite.attacks:
        rows = [
            (defence, grid.cells[attack, defence], _tone(grid, attack, defence))
            for defence in grid.suite.defences
            if (attack, defence) in grid.cells
        ]
        heading = "no attack (clean control)" if attack == clean_control(grid.suite) else attack
        body += [f"<h2>{escape(heading)}</h2>", bars(rows)]
        successes = [(defence, cell.success) for defence, cell, _ in rows if cell.success]
        body += [
            f"<p>attack success, {escape(defence)}: {escape(show_success(one))} "
            f'<span class="soft">(clean control: {escape(show_baseline(one))})</span></p>'
            for defence, one in successes
        ]
    return page(grid.suite.title or grid.suite.name, "\n".join(body))


def bars(rows: Sequence[tuple[str, Cell, str]]) -> str:
    """Accuracies as bars with their intervals.

    Args:
        rows: name, cell and tone (`good`, `bad` or nothing) of each.
    """
    lines = []
    for name, cell, tone in rows:
        value, low, high = (100 * part for part in (cell.accuracy.value, cell.accuracy.low, cell.accuracy.high))
        notes = [f"peak {100 * cell.peak:.1f} %"]
        if cell.recovery is not None:
            notes.append(f"{100 * cell.recovery:.0f} % recovered")
        lines.append(
            f'<tr><td>{escape(name)}</td><td><div class="bar {tone}"><b style="width:{value:.1f}%"></b>'
            f'<i style="left:{low:.1f}%;width:{max(high - low, 0.3):.1f}%"></i></div></td>'
            f'<td class="number">{value:.1f} %</td><td class="soft">{low:.1f} to {high:.1f}</td>'
            f'<td class="soft">{", ".join(notes)}</td></tr>'
        )
    return f"<table>{''.join(lines)}</table>"


def strips(rows: Sequence[Strip]) -> str:
    """Rows of pictures, each under its caption."""
    return "".join(
        f'<figure><figcaption>{escape(row.caption)}</figcaption><div class="scroll">'
        f'<img src="{data_uri(row.image)}" alt="{escape(row.caption)}"></div></figure>'
        for row in rows
    )


def _tone(grid: Grid, attack: str, defence: str) -> str:
    if defence != undefended(grid.suite):
        return ""
    return "good" if attack == clean_control(grid.suite) else "bad"
