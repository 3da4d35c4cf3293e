"""Ctrl-C answered within a second, also while torch is deep in a computation that Python cannot interrupt."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

_PATIENCE_S = 1.0


@contextmanager
def answering() -> Iterator[None]:
    """Within, a Ctrl-C that has had no effect after a second is answered by a line, and a second Ctrl-C ends at once.

    That loses no more than the first: whatever is written appears whole, under its name, when it is finished.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    inside, outside = socket.socketpair()
    outside.setblocking(False)
    over = threading.Event()

    def listen() -> None:
        pressed = 0
        with inside:
            while received := inside.recv(1):
                if received[0] != signal.SIGINT:
                    continue
                pressed += 1
                if pressed > 1:
                    _say("stopped at once")
                    os._exit(130)
                if not over.wait(_PATIENCE_S):
                    _say("stopping after the computation at work; Ctrl-C once more ends it now")

    before = signal.set_wakeup_fd(outside.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=listen, daemon=True).start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        outside.close()


def stop(hint: str) -> NoReturn:
    """End after Ctrl-C, without the seconds that torch takes to unload and without waiting for threads in a long call.

    Args:
        hint: what was kept, and what to do.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _say(f"stopped; {hint}")
    sys.stdout.flush()
    os._exit(130)


def _say(text: str) -> None:
    click.echo(f"unpoison: {text}", err=True)
