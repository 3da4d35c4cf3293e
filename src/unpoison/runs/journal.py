"""The append-only journal of a run: what is done survives the process, what was cut off is forgotten."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from unpoison.core.hashing import canonical_json


class Journal:
    """Lines of JSON, each behind its checksum.

    A line counts once it is complete and its checksum fits. Whatever follows the last such line (a write that was
    cut off) is removed when the journal is opened.

    Args:
        path: the file; made if missing.
    """

    def __init__(self, path: Path):
        self.entries, valid = _read(path)
        # Unbuffered: what did not fit on the disk must not be tried again when the file is closed.
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - stays open for the whole run
        self._file.truncate(valid)

    def append(self, entry: dict[str, Any]) -> None:
        """Add an entry; it is on the disk when this returns.

        Raises:
            OSError: the disk is full, or worse.
        """
        line = _encode(entry)
        if self._file.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(self._file.fileno())
        self.entries.append(entry)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The entries of a journal that somebody else may be writing; it is not changed."""
    return _read(path)[0]


def _encode(entry: dict[str, Any]) -> bytes:
    text = canonical_json(entry).encode()
    return hashlib.sha256(text).hexdigest()[:16].encode() + b" " + text + b"\n"


def _read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The valid entries and the number of bytes they take."""
    entries: list[dict[str, Any]] = []
    valid = 0
    if not path.exists():
        return entries, valid
    for line in path.read_bytes().splitlines(keepends=True):
        checksum, _, text = line.rstrip(b"\n").partition(b" ")
        if not line.endswith(b"\n") or hashlib.sha256(text).hexdigest()[:16].encode() != checksum:
            break
        entry = _decode(text)
        if entry is None:
            break
        entries.append(entry)
        valid += len(line)
    return entries, valid


def _decode(text: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None
