"""Page headers of a parquet file, and what they unpack to. Arrow takes that much memory without asking."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from unpoison.core.errors import DataError
from unpoison.data.safe.archives import check_unpacked

_TRUE, _FALSE, _BYTE, _I64, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 6, 7, 8, 9, 10, 12
_UNPACKED, _PACKED = 2, 3  # fields of a page's header
_MAX_DEPTH = 8


def check_pages(file: BinaryIO, path: Path, chunk: Any) -> int:
    """Compare the pages of a column with what the file may unpack to.

    Args:
        file: the file, opened.
        path: its name.
        chunk: metadata of the column in a row group, as pyarrow gives it.

    Returns:
        Bytes that its pages unpack to.

    Raises:
        DataError: the headers of its pages are broken.
        UnsafeFileError: they unpack to far more than the file.
    """
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
        start = min(start, chunk.dictionary_page_offset)
    end, unpacked = start + chunk.total_compressed_size, 0
    try:
        file.seek(start)
        while file.tell() < end:
            header = _read_struct(file, 0)
            sizes = header.get(_UNPACKED, -1), header.get(_PACKED, -1)
            if min(sizes) < 0:
                raise ValueError
            unpacked += sizes[0]
            check_unpacked(path, unpacked)
            file.seek(sizes[1], 1)
    except (ValueError, EOFError, OSError, OverflowError):
        raise DataError(path, "the headers of its pages are broken", "Fetch it again, or write it again") from None
    return unpacked


def _read_struct(file: BinaryIO, depth: int) -> dict[int, int]:
    """The whole numbers among the fields of a struct, in thrift's compact encoding; all else is passed over."""
    if depth > _MAX_DEPTH:
        raise ValueError
    numbers: dict[int, int] = {}
    field = 0
    while head := _byte(file):
        field = field + (head >> 4) if head >> 4 else _signed(file)
        value = _read_value(file, head & 15, depth)
        if value is not None:
            numbers[field] = value
    return numbers


def _read_value(file: BinaryIO, kind: int, depth: int) -> int | None:
    if _BYTE < kind <= _I64:
        return _signed(file)
    if kind == _STRUCT:
        _read_struct(file, depth + 1)
    elif kind in (_LIST, _SET):
        head = _byte(file)
        for _ in range(head >> 4 if head >> 4 < 15 else _unsigned(file)):
            _read_value(file, _BYTE if head & 15 in (_TRUE, _FALSE) else head & 15, depth + 1)
    elif kind in (_BYTE, _DOUBLE, _BINARY):
        file.seek({_BYTE: 1, _DOUBLE: 8}.get(kind) or _unsigned(file), 1)
    elif kind not in (_TRUE, _FALSE):
        raise ValueError
    return None


def _signed(file: BinaryIO) -> int:
    number = _unsigned(file)
    return (number >> 1) ^ -(number & 1)


def _unsigned(file: BinaryIO) -> int:
    number = shift = 0
    while shift < 64:
        byte = _byte(file)
        number |= (byte & 127) << shift
        if byte < 128:
            return number
        shift += 7
    raise ValueError


def _byte(file: BinaryIO) -> int:
    read = file.read(1)
    if not read:
        raise EOFError
    return read[0]
