"""The log as lines on stderr, and the traceback of an error for --debug."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        from unpoison.core.progress import write_line  # tqdm, which --help need not wait for

        write_line(f"unpoison: {record.getMessage()}")


@contextmanager
def logs_as_lines() -> Iterator[None]:
    """Within, what the package logs is a line each on stderr, above a bar that may be there."""
    log, lines = logging.getLogger("unpoison"), _Lines()
    before = log.level
    log.addHandler(lines)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(lines)
        log.setLevel(before)


def trace(error: BaseException) -> list[str]:
    """The lines of an error's traceback, with the errors behind it that `from None` hides from a user."""
    behind: BaseException | None = error
    while behind is not None:
        behind.__suppress_context__ = False
        behind = behind.__cause__ or behind.__context__
    return "".join(traceback.format_exception(error)).splitlines()
