"""Dot plots: a value of each class, against how the pictures of the whole set spread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

from unpoison.reporting.axes import round_values

STYLE = """
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 0 2.5rem; }
.dots > div, .dots details > div { display: grid; grid-template-columns: minmax(4rem, 26%) 1fr 3.6rem;
  gap: .6rem; align-items: center; }
.dots span { overflow-wrap: anywhere; line-height: 1.3; padding: .15rem 0; }
.dots span:last-child { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.dots .line { position: relative; align-self: stretch; min-height: 1.5rem; border-bottom: 1px solid var(--line); }
.dots .line > * { position: absolute; } .dots .line i { inset: 0 auto; background: var(--raised); }
.dots .line u { top: 0; bottom: 0; width: 1px; background: var(--soft); opacity: .6; }
.dots .line b { top: calc(50% - .3rem); width: .6rem; height: .6rem; margin-left: -.3rem; border-radius: 50%;
  background: var(--fill); }
.dots .line small { color: var(--soft); transform: translateX(-50%); white-space: nowrap; }
"""
_OPEN = 20  # rows that show without being asked for
_MOST = 1000
_TICKS = 5


def dot_plot(
    values: Mapping[str, float],
    quantiles: Sequence[float],
    show: Callable[[float], str],
    *,
    axis: Callable[[float], str],
) -> str:
    """A row for each class, the highest first, over one axis that runs no further than what is shown.

    Args:
        values: of each class, at least one.
        quantiles: of the pictures of the set, ascending: where most of them begin, their median and where they end,
            which every row repeats; none if that is not known.
        show: a value as it stands at the end of its row.
        axis: a value as it stands on the axis.
    """
    ends = [*values.values(), *quantiles]
    low, high = min(ends), max(ends)
    margin = 0.04 * (high - low) or 0.5
    low, high = low - margin, high + margin

    def place(value: float) -> str:
        return f"{100 * (value - low) / (high - low):.1f}%"

    spread = ""
    if quantiles:
        left, middle, right = quantiles
        width = f"{100 * (right - left) / (high - low):.1f}%"
        spread = f'<i style="left:{place(left)};width:{width}"></i><u style="left:{place(middle)}"></u>'
    rows = [
        f'<div><span>{escape(name)}</span><div class="line">{spread}<b style="left:{place(values[name])}"></b></div>'
        f"<span>{escape(show(values[name]))}</span></div>"
        for name in sorted(values, key=lambda name: (-values[name], name))
    ]
    ticks = "".join(f'<small style="left:{place(value)}">{escape(axis(value))}</small>' for value in _ticks(low, high))
    scale = f'<div aria-hidden="true"><span></span><div class="line">{ticks}</div><span></span></div>'
    more = ""
    if len(rows) > _OPEN:
        cut = f" Of {len(rows):,}, these are the highest." if len(rows) > _MOST else ""
        more = (
            f"<details><summary>and {len(rows[_OPEN:_MOST]):,} classes below them.{cut}</summary>"
            f"{''.join(rows[_OPEN:_MOST])}{scale}</details>"
        )
    return f'<div class="dots">{"".join(rows[:_OPEN])}{scale}{more}</div>'


def _ticks(low: float, high: float) -> list[float]:
    """Round values between two others, no more than there is room for on a narrow screen."""
    values = round_values(low, high)
    step = values[1] - values[0]
    return values if len(values) <= _TICKS else [value for value in values if round(value / step) % 2 == 0]
