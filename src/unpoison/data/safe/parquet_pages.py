"""Page headers of a parquet file, and what they unpack to. Arrow takes that much memory without asking."""

from __future__ import annotations

from dataclasses import dataclass
from io import SEEK_CUR, SEEK_END, BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from unpoison.core.errors import DataError
from unpoison.data.safe.archives import check_unpacked

Fields = dict[tuple[int, int], Any]

_TRUE, _FALSE, _BYTE, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 5, 6, 7, 8, 9, 10, 12
# Fields by number and kind, as arrow passes over those of another kind: of a page's header,
_UNPACKED, _PACKED = (2, _I32), (3, _I32)
# of the footer, of a row group in it, of a column in that, and of a column's metadata.
_ROW_GROUPS, _COLUMNS, _META_DATA = (4, _LIST), (1, _LIST), (3, _STRUCT)
_CHUNK_SIZE, _DATA_PAGE, _DICTIONARY_PAGE = (7, _I64), (9, _I64), (11, _I64)
_TAIL = 8  # bytes behind the footer: its length, and PAR1
_MAX_DEPTH = 12
_REMEDY = "Fetch it again, or write it again"
_WRONG = (ValueError, EOFError, OSError, OverflowError, KeyError, TypeError)


@dataclass(frozen=True)
class Chunk:
    """Where the pages of a column of a row group lie: bytes `start` to `end` of the file."""

    start: int
    end: int


def column_chunks(file: BinaryIO, path: Path) -> list[list[Chunk]]:
    """The columns of each row group, in the order of the schema, as the end of the file names them.

    Read here, since pyarrow ends the whole process over statistics that do not fit their column when asked for this.

    Args:
        file: the file, opened.
        path: its name.

    Raises:
        DataError: the end of the file is broken.
    """
    try:
        size = file.seek(0, SEEK_END)
        file.seek(size - _TAIL)
        length = int.from_bytes(file.read(4), "little")
        file.seek(size - _TAIL - length)
        footer = _read_struct(BytesIO(file.read(length)), 0)
        return [[_chunk(column[_META_DATA]) for column in group[_COLUMNS]] for group in footer[_ROW_GROUPS]]
    except _WRONG:
        raise DataError(path, "what it says of its columns is broken", _REMEDY) from None


def _chunk(fields: Fields) -> Chunk:
    start, dictionary = fields[_DATA_PAGE], fields.get(_DICTIONARY_PAGE, 0)
    if 0 < dictionary < start:  # as arrow decides where to begin
        start = dictionary
    return Chunk(start, start + fields[_CHUNK_SIZE])


def check_pages(file: BinaryIO, path: Path, chunk: Chunk) -> int:
    """Compare the pages of a column with what the file may unpack to.

    Args:
        file: the file, opened.
        path: its name.
        chunk: where they lie.

    Returns:
        Bytes that its pages unpack to.

    Raises:
        DataError: the headers of its pages are broken.
        UnsafeFileError: they unpack to far more than the file.
    """
    unpacked = 0
    try:
        file.seek(chunk.start)
        while file.tell() < chunk.end:
            header = _read_struct(file, 0)
            sizes = header[_UNPACKED], header[_PACKED]
            if min(sizes) < 0:
                raise ValueError
            unpacked += sizes[0]
            check_unpacked(path, unpacked)
            file.seek(sizes[1], SEEK_CUR)
    except _WRONG:
        raise DataError(path, "the headers of its pages are broken", _REMEDY) from None
    return unpacked


def _read_struct(file: BinaryIO, depth: int) -> Fields:
    """The fields of a struct, in thrift's compact encoding: numbers, lists and structs; all else is passed over."""
    if depth > _MAX_DEPTH:
        raise ValueError
    fields: Fields = {}
    field = 0
    while head := _byte(file):
        field = field + (head >> 4) if head >> 4 else _signed(file)
        kind = head & 15
        if (field, kind) in fields:  # arrow might take the other
            raise ValueError
        fields[field, kind] = _read_value(file, kind, depth)
    return fields


def _read_value(file: BinaryIO, kind: int, depth: int) -> Any:
    if _BYTE < kind <= _I64:
        return _signed(file)
    if kind == _STRUCT:
        return _read_struct(file, depth + 1)
    if kind in (_LIST, _SET):
        head = _byte(file)
        count = head >> 4 if head >> 4 < 15 else _unsigned(file)
        return [
            _read_value(file, _BYTE if head & 15 in (_TRUE, _FALSE) else head & 15, depth + 1) for _ in range(count)
        ]
    if kind in (_BYTE, _DOUBLE, _BINARY):
        file.seek({_BYTE: 1, _DOUBLE: 8}.get(kind) or _unsigned(file), SEEK_CUR)
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
