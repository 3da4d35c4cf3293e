"""Atomic writes: nothing half-written is ever found under its final name."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unpoison.core.errors import DiskError


@contextmanager
def writing(place: Path, *, kept: bool = False) -> Iterator[None]:
    """Turn an error of the disk into one line for people.

    Args:
        place: file or folder that is written. Of several, one inside the other, the outermost is named.
        kept: whether what is finished lies there for the next try.

    Raises:
        DiskError: in place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise DiskError(place, error.strerror or type(error).__name__, kept=kept) from None
    except DiskError as error:
        raise DiskError(place, error.reason, kept=kept) from None


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it is synced and renamed, on error removed.

    Raises:
        DiskError: the disk is full, or worse.
    """
    with writing(path):
        if path.name in ("", ".."):
            raise DiskError(path, "it names no file")
        path.parent.mkdir(parents=True, exist_ok=True)
        # Machines that share a folder may have processes, and processes threads, of the same number.
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            temporary.touch()
            mode = temporary.stat().st_mode
            yield temporary
            temporary.chmod(mode)  # some libraries write files that their owner alone can read
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in one piece or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON in one piece or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def file_stamp(path: Path) -> str:
    """What changes whenever a file is written again or replaced.

    Size and time of writing do not suffice: `tar -x`, `rsync -a` and `cp -p` set the latter. The number of the inode
    and the time of its last change, which the kernel keeps, do.
    """
    try:
        status = path.stat()
    except OSError:
        return "none"
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path, its links followed, lies in a folder or is that folder. A link to itself stays where it is."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
