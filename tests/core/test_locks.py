"""A wait for another process is said, and ends when that one is through."""

from __future__ import annotations

import threading

from filelock import FileLock

from unpoison.core import locks
from unpoison.core.locks import wait_for_lock


def test_a_long_wait_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(locks, "_PATIENCE_S", 0.05)
    held = FileLock(tmp_path / "lock", thread_local=False)  # another thread gives it back
    held.acquire()
    threading.Timer(0.3, held.release).start()
    with wait_for_lock(tmp_path / "lock"):
        pass
    err = capsys.readouterr().err
    assert err.count("waiting for another process") == 1
    assert str(tmp_path / "lock") in err


def test_no_wait_no_word(tmp_path, capsys):
    with wait_for_lock(tmp_path / "lock"), wait_for_lock(tmp_path / "other"):
        pass
    with wait_for_lock(tmp_path / "lock"):
        pass
    assert capsys.readouterr().err == ""
