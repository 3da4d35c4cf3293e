"""Strangers' files opened: only what is a file, lies where it should, and is not larger than it may be."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from unpoison.core.errors import DataError, UnsafeFileError
from unpoison.core.files import is_inside
from unpoison.core.limits import TEXT_BYTES, UNPACKED_RATIO, UNPACKED_ROOM


def open_plain(path: Path) -> BinaryIO:
    """Open a file for reading. A pipe, a socket or a device is never opened: it could hang, or never end.

    Raises:
        DataError: it cannot be read.
        UnsafeFileError: it is no file, or hardly more than a hole.
    """
    try:
        _check_kind(path, os.stat(path))
        # Should it be replaced meanwhile, opening does not wait, and the second look finds it.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        file = os.fdopen(descriptor, "rb")
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        problem = "there is no such file" if missing else f"the file cannot be read ({error.strerror})"
        raise DataError(path, problem, "Check the path" if missing else "Check it and its permissions") from None
    try:
        _check_kind(path, os.fstat(descriptor))
        _check_holes(path, descriptor)
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
        size = os.fstat(file.fileno()).st_size
        if whole and size > limit:
            raise UnsafeFileError(path, f"the file has over {limit} bytes", "Check what it is, or leave it out")
        try:
            return file.read(min(size, limit))  # Python takes memory for as much as is asked for
        except OSError as error:
            raise DataError(path, f"the file cannot be read ({error.strerror})", "Check it") from None


def read_lines(path: Path) -> list[str]:
    """The lines of a text that lies beside a set, such as the names of its classes.

    Raises:
        DataError: it cannot be read, or is no text in UTF-8.
        UnsafeFileError: it is a link out of its folder, no file, or too large.
    """
    check_link(path.parent, path)
    try:
        return read_plain(path, TEXT_BYTES).decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise DataError(path, "the file is not text in UTF-8", "Write it again, or remove it") from None


def check_link(root: Path, path: Path) -> None:
    """Refuse a link that leads out of the set's folder.

    Raises:
        UnsafeFileError: it does, or it leads to a folder, where it could lead round in a circle.
    """
    if path.is_symlink() and (path.is_dir() or not is_inside(path, _whole_folder(root))):
        raise UnsafeFileError(path, "the link leads out of the folder or to a folder", "Replace it by a copy")


def _whole_folder(root: Path) -> Path:
    """The folder that a set's links may lead to; the cache of the Hub keeps the files of a snapshot beside it."""
    for folder in (root, *root.parents):
        if folder.parent.name == "snapshots" and (folder.parent.parent / "blobs").is_dir():
            return folder.parent.parent
    return root


def _check_kind(path: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise DataError(path, "this is a folder, where a file is needed", "Name the file")
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeFileError(path, "this is no file but a pipe, a socket or a device", "Replace it by a plain file")


def _check_holes(path: Path, descriptor: int) -> None:
    """A hole in a file takes no room on the disk, and a terabyte of memory if it is read."""
    status = os.fstat(descriptor)
    held = getattr(status, "st_blocks", status.st_size) * 512
    if status.st_size <= max(UNPACKED_ROOM, UNPACKED_RATIO * held):
        return
    try:  # some systems count no blocks at all
        hole = os.lseek(descriptor, 0, os.SEEK_HOLE)
        os.lseek(descriptor, 0, os.SEEK_SET)
    except (OSError, AttributeError):
        return
    if hole < status.st_size:
        raise UnsafeFileError(path, f"of its {status.st_size} bytes hardly any are stored", "Remove it")
