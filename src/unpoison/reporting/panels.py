"""Pictures before and after a purification, and what changed in them, as a gallery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from unpoison.core.showing import data_uri
from unpoison.reporting.pictures import around_grey, smooth_part
from unpoison.reporting.widgets import pane, slider
from unpoison.runs.measuring import Change
from unpoison.runs.preview import Example

LARGEST = 224  # pictures larger than this are shown in part
_SMALL = 144  # pictures are enlarged, without smoothing, as long as they stay below this
_GAP = 8  # screen pixels between panes; the style sheet says the same
_FULL = 99.0  # percent of all values that are shown in full


@dataclass(frozen=True)
class Panel:
    """An example as a page shows it.

    Args:
        example: name and class; its pictures are cut to what is shown.
        change: of the whole picture.
        zoom: screen pixels per pixel.
        note: which part of the picture is shown; empty if all.
    """

    example: Example
    change: Change
    zoom: int
    note: str

    @property
    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """The fine and the smooth part of what changed, [H, W, 3] float64 each, in levels."""
        change = self.example.after.astype(np.float64) - self.example.before
        smooth = smooth_part(change)
        return change - smooth, smooth


def panel(example: Example) -> Panel:
    """What a page shows of an example; holds no more of a large picture than that."""
    height, width = example.before.shape[:2]
    shown_height, shown_width = min(height, LARGEST), min(width, LARGEST)
    top, left = (height - shown_height) // 2, (width - shown_width) // 2
    before, after = (
        picture[top : top + shown_height, left : left + shown_width].copy()
        for picture in (example.before, example.after)
    )
    cut = (shown_height, shown_width) != (height, width)
    return Panel(
        Example(example.image_id, example.class_name, before, after),
        example.change,
        zoom=max(1, _SMALL // max(shown_height, shown_width)),
        note=f"the middle {shown_width}x{shown_height} of {width}x{height}" if cut else "",
    )


def full_scale(panels: Sequence[Panel]) -> int:
    """Levels of change that are drawn as black and white: one scale for a page, and all but one value in a hundred."""
    values = [abs(part).reshape(-1) for one in panels for part in one.parts]
    return max(1, int(np.ceil(np.percentile(np.concatenate(values), _FULL).round(3)))) if values else 1


def explain_panes(scale: int) -> str:
    """A line on what is seen."""
    return (
        '<p class="soft">Each picture: before and after, with a slider; then what changed from pixel to pixel, and '
        f"what changed smoothly. In both, grey is unchanged, and black and white are {scale} of 255 levels less and "
        "more. A click enlarges, arrows go on, a second click shows one alone.</p>"
    )


def gallery(
    panels: Sequence[Panel],
    *,
    scale: int,
    unusual: Mapping[str, Mapping[str, float]] | None = None,
    filtered: bool = True,
) -> str:
    """Pictures with what changed in them.

    Args:
        panels: in their order.
        scale: levels that are drawn as black and white.
        unusual: of each picture, by id, its fine change, what would be usual and their ratio, if that is known.
        filtered: whether the choice of a class is for them; else they are always there.
    """
    figures = "".join(_figure(one, scale, (unusual or {}).get(one.example.image_id), filtered) for one in panels)
    return f'<div class="gallery">{figures}</div>'


def show_unusual(ratio: float, decimals: int = 0) -> str:
    """How much more than usual, in percent.

    >>> show_unusual(1.37)
    '+37\xa0%'
    """
    shown = f"{100 * ratio - 100:+.{decimals}f}"
    return f"{shown if float(shown) else shown[1:]}\u00a0%".replace("-", "\u2212")


def _figure(one: Panel, scale: int, unusual: Mapping[str, float] | None, filtered: bool) -> str:
    example = one.example
    width = one.zoom * example.before.shape[1]
    fine, smooth = (data_uri(around_grey(part, factor=127 / scale)) for part in one.parts)
    panes = (
        slider(data_uri(example.before), data_uri(example.after), "before | after", width=width)
        + pane(fine, "fine change", width=width)
        + pane(smooth, "smooth change", width=width)
    )
    name = example.image_id
    if example.class_name and not name.startswith(f"{example.class_name}/"):
        name = f"{example.class_name} / {name}"
    note = f", {one.note}" if one.note else ""
    figure, places = f"<b>{one.change.all_255:.1f}</b> {escape(name)}{note}", {"change": one.change.all_255}
    if unusual:
        places["unusual"] = unusual["ratio"]
        figure = (
            f"<b>{show_unusual(unusual['ratio'])}</b> {escape(name)}{note}<br>fine change "
            f"{unusual['fine']:.1f}, usual for its texture {unusual['usual']:.1f}; change {one.change.all_255:.1f}"
        )
    data = "".join(f' data-{key}="{value:.4f}"' for key, value in places.items())
    by_class = f' data-class="{escape(example.class_name)}"' if filtered else ""
    return (
        f'<figure class="item"{by_class}{data} style="width:{3 * width + 2 * _GAP}px"><div class="panes" tabindex="0">'
        f"{panes}</div><figcaption>{figure}</figcaption></figure>"
    )
