"""Files of `torch.save` from before torch 1.6: a row of pickles, the fourth of them the content, then the numbers."""

from __future__ import annotations

import io
import pickletools
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from unpoison.core.errors import DataError
from unpoison.data.safe.opcodes import HEAD, Outline, outline_bytes
from unpoison.data.safe.plain_files import read_plain
from unpoison.data.safe.torch_storage import TENSOR_CONSTANTS, Storage, item_size
from unpoison.data.safe.unpickle import unpickle

_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_LEADING = 3  # the magic number, the version and the byte order


def is_legacy(path: Path) -> bool:
    """Whether a file begins as torch wrote them then."""
    return read_plain(path, len(_MAGIC), whole=False) == _MAGIC


def read_legacy(data: bytes, file: Path, *, calls: Mapping[tuple[str, str], Callable[..., Any]]) -> Any:
    """Read the content through our allow-list.

    Args:
        data: the whole file.
        file: name for errors.
        calls: what it may call, beside what any pickle may.

    Raises:
        DataError: the file is broken.
        UnsafeFileError: it asks for what could run code.
    """
    try:
        start = _skip(data, 0, _LEADING)
        end = _skip(data, start, 1)
        numbers = _skip(data, end, 1)
    except (ValueError, IndexError, OverflowError):
        raise DataError(file, "the file is broken or cut short", "Fetch it again") from None
    # The numbers lie behind the content that refers to them, so it is read twice, first for their kinds and counts.
    wanted: dict[Any, tuple[Any, Any]] = {}

    def note(pid: Any) -> None:
        _, code, key, _, count, view = pid
        if view is not None:
            raise ValueError("a view of a storage")
        wanted[key] = code, count

    content = data[start:end]
    first = unpickle(
        content, file, calls=dict.fromkeys(calls, lambda *_: None), constants=TENSOR_CONSTANTS, persistent=note
    )
    if not wanted:
        return first
    keys = unpickle(data[end:numbers], file)
    try:
        stored = _read_storages(memoryview(data)[numbers:], keys, wanted)
    except (ValueError, TypeError, LookupError, struct.error) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(file, f"the numbers of its tensors are broken ({reason})", "Fetch it again") from None
    return unpickle(
        content,
        file,
        calls=calls,
        constants=TENSOR_CONSTANTS,
        persistent=lambda pid: stored[pid[2]],
        size_outside=len(data),
    )


def outline_legacy(path: Path) -> Outline:
    """The outline of the content; empty if the file is broken.

    Args:
        path: a file that `is_legacy`.
    """
    head = read_plain(path, HEAD, whole=False)
    try:
        return outline_bytes(head[_skip(head, 0, _LEADING) :])
    except (ValueError, IndexError, OverflowError):
        return Outline()


def _read_storages(data: memoryview, keys: Any, wanted: Mapping[Any, tuple[Any, Any]]) -> dict[Any, Storage]:
    """The numbers under each key, in the order of the keys: how many there are in 8 bytes, then themselves."""
    stored = {}
    at = 0
    for key in keys:
        code, count = wanted[key]
        (held,) = struct.unpack("<Q", data[at : at + 8])
        if held != count:
            raise ValueError(f"a tensor of {count} numbers with {held} stored")
        stop = at + 8 + held * item_size(code)
        stored[key] = Storage(data[at + 8 : stop], code, count)
        at = stop
    return stored


def _skip(data: bytes, start: int, count: int) -> int:
    """Where some pickles that follow each other end."""
    stream = io.BytesIO(data)
    stream.seek(start)
    for _ in range(count):
        for _ in pickletools.genops(stream):
            pass
    return stream.tell()
