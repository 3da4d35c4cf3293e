"""Tiles of a large picture, which overlap by what a purifier looks at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from unpoison.core.noise import Window

WHOLE = 512  # pictures up to this a side go in one piece; also the side of a tile's core
_GRID = 16  # windows begin and end on it, so that what works in cells of up to 16 pixels sees the same cells


@dataclass(frozen=True)
class Tile:
    """One piece of a picture.

    Args:
        window: rows and columns of the picture that the purifier is given.
        core: rows and columns of the picture that are kept of its result.
        inside: where the core lies within the window.
        place: where the window lies, for noise; None if it is the whole picture.
    """

    window: tuple[slice, slice]
    core: tuple[slice, slice]
    inside: tuple[slice, slice]
    place: Window | None

    @property
    def area(self) -> int:
        """Pixels of the window, by which network calls are filled; never fewer than of a core in a larger picture.

        A narrow picture would else fill up every call with copies of its tile, as many as make up a whole one.
        """
        rows, columns = self.window
        area: int = (rows.stop - rows.start) * (columns.stop - columns.start)
        return area if self.place is None else max(area, WHOLE * WHOLE)


def tiles(height: int, width: int, halo: int | None) -> Iterator[Tile]:
    """Cut a picture: cores of 512 by 512 that do not overlap, each in a window with the halo on every side.

    At the border of the picture a window ends with it, so that padding does there what it does to the whole.

    Args:
        height: of the picture.
        width: of the picture.
        halo: how many pixels around a pixel its result depends on; None if on the whole picture, which is not cut.
    """
    if halo is None or max(height, width) <= WHOLE:
        everything = (slice(0, height), slice(0, width))
        yield Tile(everything, everything, everything, None)
        return
    for core_rows, rows in _spans(height, halo):
        for core_columns, columns in _spans(width, halo):
            yield Tile(
                (rows, columns),
                (core_rows, core_columns),
                (_shift(core_rows, rows.start), _shift(core_columns, columns.start)),
                Window(rows.start, columns.start, height, width),
            )


def _spans(length: int, halo: int) -> Iterator[tuple[slice, slice]]:
    """Core and window of every tile along one side."""
    around = -(-halo // _GRID) * _GRID
    for start in range(0, length, WHOLE):
        stop = min(start + WHOLE, length)
        yield slice(start, stop), slice(max(start - around, 0), min(stop + around, length))


def _shift(span: slice, origin: int) -> slice:
    return slice(span.start - origin, span.stop - origin)
