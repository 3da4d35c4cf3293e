"""Opening strangers' files: only what is a file, and no more of it than is wanted."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from unpoison.core.errors import DataError, UnsafeFileError


def open_plain(path: Path) -> BinaryIO:
    """Open a file for reading. A pipe, a socket or a device is never opened: it could hang, or never end.

    Raises:
        DataError: it cannot be read.
        UnsafeFileError: it is no file.
    """
    try:
        _check_kind(path, path.stat().st_mode)
        # Should it be replaced meanwhile, opening does not wait, and the second look finds it.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        file = os.fdopen(descriptor, "rb")
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        problem = "there is no such file" if missing else f"the file cannot be read ({error.strerror})"
        raise DataError(path, problem, "Check the path" if missing else "Check it and its permissions") from None
    try:
        _check_kind(path, os.fstat(descriptor).st_mode)
    except BaseException:
        file.close()
        raise
    return file


def read_plain(path: Path, limit: int, *, whole: bool = True) -> bytes:
    """The bytes of a file.

    Args:
        path: the file.
        limit: how many bytes it may have.
        whole: whether a longer file is refused; else its first bytes are returned.

    Raises:
        DataError: it cannot be read.
        UnsafeFileError: it is no file, or a longer one.
    """
    with open_plain(path) as file:
        if whole and os.fstat(file.fileno()).st_size > limit:
            raise UnsafeFileError(path, f"the file has over {limit} bytes", "Check what it is, or leave it out")
        try:
            return file.read(limit)
        except OSError as error:
            raise DataError(path, f"the file cannot be read ({error.strerror})", "Check it") from None


def read_text(path: Path, limit: int) -> str:
    """The text of a file in UTF-8.

    Raises:
        DataError: it cannot be read, or is no text.
        UnsafeFileError: it is no file, or has over `limit` bytes.
    """
    try:
        return read_plain(path, limit).decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(path, "the file is not text in UTF-8", "Write it again, or remove it") from None


def _check_kind(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise DataError(path, "this is a folder, where a file is needed", "Name the file")
    if not stat.S_ISREG(mode):
        raise UnsafeFileError(path, "this is no file but a pipe, a socket or a device", "Replace it by a plain file")
