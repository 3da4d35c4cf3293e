"""Memory for large pictures: as many are worked on at once as there is room for, and always one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition

BUDGET = 3 * 2**29
_TILED, _WHOLE = 14, 40  # bytes for each pixel, decoded and encoded in 8 bits; with floats of the whole picture
_LOOK_S = 0.1


class MemoryRoom:
    """Bytes that threads share.

    Args:
        budget: how many there are.
    """

    def __init__(self, budget: int = BUDGET):
        self._budget, self._taken = budget, 0
        self._changed = Condition()

    @contextmanager
    def take(self, pixels: int, *, tiled: bool, given_up: Callable[[], bool]) -> Iterator[None]:
        """Wait until there is room for some pictures. Where nothing else is worked on there always is.

        Args:
            pixels: of all of them.
            tiled: whether they are purified tile by tile.
            given_up: whether to wait no longer.
        """
        size = pixels * (_TILED if tiled else _WHOLE)
        with self._changed:
            while self._taken and self._taken + size > self._budget and not given_up():
                self._changed.wait(_LOOK_S)
            self._taken += size
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()
