"""An image set as a notebook shows it: a small table with a few pictures of every class."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from unpoison.core.errors import DataError

if TYPE_CHECKING:
    from unpoison.core.images import ImageSet

_CLASSES = 10
_PICTURES = 6  # of a class
_SIDE = 48  # screen pixels of a picture, at most


def describe(image_set: ImageSet) -> str:
    """How many pictures of which size in how many classes, in a few words."""
    sizes = np.unique(image_set.sizes, axis=0)
    size = f" of {sizes[0][1]}x{sizes[0][0]}" if len(sizes) == 1 else " of several sizes" if len(sizes) else ""
    return f"{image_set.name}: {len(image_set):,} pictures{size} in {len(image_set.class_names)} classes"


def to_html(image_set: ImageSet) -> str:
    """A table of the first classes, each with its number of pictures and the first few of them."""
    groups = [(name, np.flatnonzero(image_set.labels == label)) for label, name in enumerate(image_set.distinct_names)]
    unknown = np.flatnonzero(image_set.labels < 0)
    if len(unknown):
        groups.append(("without label", unknown))
    rows = "".join(
        f'<tr><td style="text-align:left">{escape(name)}</td>'
        f'<td style="text-align:right;padding:0 12px">{len(found):,}</td>'
        f'<td style="text-align:left">{"".join(_images(image_set, found[:_PICTURES]))}</td></tr>'
        for name, found in groups[:_CLASSES]
    )
    more = f"<p>and {len(groups) - _CLASSES} more classes</p>" if len(groups) > _CLASSES else ""
    notes = "".join(f"<p>{escape(str(note))}</p>" for note in image_set.notes)
    return f"<p><b>{escape(describe(image_set))}</b></p><table>{rows}</table>{more}{notes}"


def data_uri(image: np.ndarray) -> str:
    """A picture, [H, W, 3] uint8, as a `data:` address, so that a page is one file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _images(image_set: ImageSet, rows: np.ndarray) -> Iterator[str]:
    for row in rows.tolist():
        name = escape(image_set.ids[row], quote=True)
        try:
            picture = image_set.picture(row).rgb
        except DataError:
            yield f'<span title="{name}">broken</span> '
            continue
        step = -(-max(picture.shape[:2]) // (2 * _SIDE))  # twice as many pixels, for sharp screens
        address = data_uri(np.ascontiguousarray(picture[::step, ::step]))
        yield (
            f'<img src="{address}" title="{name}" style="max-height:{_SIDE}px;min-height:32px;max-width:{2 * _SIDE}px;'
            'display:inline;margin:1px;image-rendering:pixelated"> '
        )
