"""Locks between processes; who waits says so."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from filelock import FileLock, Timeout

from unpoison.core.progress import write_line

_PATIENCE_S = 2.0
_REMINDER_S = 60.0


def wait_for_lock(path: Path) -> AbstractContextManager[object]:
    """Take a lock that others hold for a moment only; a longer wait is said on stderr.

    The lock of a process that died is void, that of a stopped one is not.

    Args:
        path: the lock's file; made if missing.

    Returns:
        What gives the lock back at the end of a `with`.

    Raises:
        OSError: the file cannot be made.
    """
    lock, pause = FileLock(path), _PATIENCE_S
    while True:
        try:
            return lock.acquire(timeout=pause)
        except Timeout:
            write_line(f"unpoison: waiting for another process, which holds {path}; is it stopped?")
            pause = _REMINDER_S
