"""NumPy arrays as they lie in `.npy` and `.npz`: checked before they take memory, never unpickled."""

from __future__ import annotations

import math
import sys
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from io import FileIO
from pathlib import Path
from tokenize import TokenError
from typing import IO, Literal, NamedTuple

import numpy as np

from unpoison.core.errors import DataError, UnsafeFileError
from unpoison.data.safe.plain_files import open_plain

_HEADER_BYTES = 10_000  # NumPy's own limit on the text of a header
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_REMEDY = "Fetch it again, or write it with numpy.save or numpy.savez"
_BROKEN = (
    ValueError, TypeError, KeyError, OSError, EOFError, RuntimeError, MemoryError, SyntaxError, TokenError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class Header(NamedTuple):
    """What an array is.

    Args:
        dtype: of plain numbers or text.
        shape: not negative.
        order: of the data, as NumPy calls it.
        offset: where the data begins.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    order: Literal["C", "F"]
    offset: int

    @property
    def size(self) -> int:
        """Bytes of data."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(open_file: Callable[[], IO[bytes]], size: int, path: Path, *, record: str | None = None) -> Header:
    """Read the header of an array, and check it against the size of its file. No data is read.

    Args:
        open_file: opens the array.
        size: bytes of header and data.
        path: of the file, for errors.
        record: name of the array within it, for errors.

    Raises:
        DataError: it is no array, or broken.
        UnsafeFileError: it holds objects, or claims more or less data than there is.
    """
    try:
        with open_file() as file:
            version = np.lib.format.read_magic(file)
            shape, fortran, dtype = _HEADERS[version](file, max_header_size=_HEADER_BYTES)
            header = Header(dtype, shape, "F" if fortran else "C", file.tell())
        np.broadcast_to(np.zeros((), dtype), shape)  # takes no memory, and refuses shapes that no array can have
        if dtype.itemsize == 0:
            raise ValueError("its values have no size")
    except _BROKEN as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            path, f"this is not a NumPy array, or it is broken ({reason})", _REMEDY, record=record
        ) from None
    if dtype.hasobject:
        raise UnsafeFileError(
            path, "the array holds Python objects, which could run code", "Store plain numbers", record=record
        )
    if header.size != size - header.offset:
        raise UnsafeFileError(
            path, f"the array claims {header.size} bytes and has {size - header.offset}", _REMEDY, record=record
        )
    return header


def check_text(array: np.ndarray) -> None:
    """Refuse an array of text with numbers in it that are no character: NumPy makes them texts that crash Python.

    Raises:
        ValueError: it has.
    """
    if array.dtype.kind != "U" or not array.size:
        return
    numbers = np.frombuffer(array.tobytes(), np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
    if numbers.max() > sys.maxunicode:
        raise ValueError("a text that is none")


def read_npy(path: Path) -> np.ndarray:
    """Read an array; its data comes from the disk as it is used.

    Returns:
        A read-only array of plain numbers.

    Raises:
        DataError: there is no such file, or it is broken.
        UnsafeFileError: it holds objects, or claims more or less data than the file has.
    """
    open_plain(path).close()  # nothing but a file may be opened
    header = read_header(partial(FileIO, path), path.stat().st_size, path)
    if header.size == 0:
        return np.zeros(header.shape, header.dtype)
    array = np.memmap(path, header.dtype, "r", header.offset, header.shape, header.order)
    try:
        check_text(array)
    except ValueError as error:
        raise DataError(path, f"it holds {error}", _REMEDY) from None
    return array
