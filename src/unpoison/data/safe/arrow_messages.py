"""Messages of an arrow stream, and whether they are compressed. Arrow would unpack them whole, without asking."""

from __future__ import annotations

import struct
from typing import Any

_HEADER, _COMPRESSION, _DATA = 2, 3, 1  # fields of a message, of its batch of rows, of a dictionary


def is_compressed(message: Any) -> bool:
    """Whether the buffers of a message are compressed.

    Args:
        message: a `pyarrow.Message`.

    Raises:
        ValueError: its description is broken.
    """
    if message.type not in ("record batch", "dictionary"):
        return False
    data = message.metadata.to_pybytes()
    try:
        batch = _follow(data, _field(data, struct.unpack_from("<I", data)[0], _HEADER))
        if message.type == "dictionary":
            batch = _follow(data, _field(data, batch, _DATA))
        return _field(data, batch, _COMPRESSION) is not None
    except (struct.error, TypeError):
        raise ValueError("a message is broken") from None


def _field(data: bytes, table: int, number: int) -> int | None:
    """Where a field of a flatbuffers table lies, None if it is left out."""
    (back,) = struct.unpack_from("<i", data, table)
    (size,) = struct.unpack_from("<H", data, table - back)
    if 4 + 2 * number >= size:
        return None
    (offset,) = struct.unpack_from("<H", data, table - back + 4 + 2 * number)
    return table + offset if offset else None


def _follow(data: bytes, field: int | None) -> int:
    """Where the table lies that a field refers to."""
    if field is None:
        raise TypeError
    distance: int = struct.unpack_from("<I", data, field)[0]
    return field + distance
