"""Files of `torch.save` from before torch 1.6 that hold no tensor: a row of pickles, the fourth of them the content."""

from __future__ import annotations

import io
import pickletools
from pathlib import Path
from typing import Any

from unpoison.core.errors import DataError
from unpoison.data.opcodes import HEAD, Outline, outline_bytes
from unpoison.data.unpickle import MAX_BYTES, unpickle

_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_LEADING = 3  # the magic number, the version and the byte order


def is_legacy(path: Path) -> bool:
    """Whether a file begins as torch wrote them then."""
    try:
        with open(path, "rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def read_legacy_objects(path: Path) -> Any:
    """Read the content through our allow-list; torch's own loader takes tensors only, or runs whatever is in the file.

    Args:
        path: a file that `is_legacy`.

    Raises:
        DataError: the file is broken or too large.
        UnsafeFileError: it holds tensors, or asks for what could run code.
    """
    if path.stat().st_size > MAX_BYTES:
        raise DataError(path, f"the file is larger than {MAX_BYTES >> 30} GiB", "Ask its publisher for a smaller one")
    try:
        content = _content(path.read_bytes())
    except (ValueError, IndexError, OverflowError):
        raise DataError(path, "the file is broken", "Fetch it again") from None
    return unpickle(content, path)


def outline_legacy(path: Path) -> Outline:
    """The outline of the content; empty if the file is broken.

    Args:
        path: a file that `is_legacy`.
    """
    with open(path, "rb") as file:
        head = file.read(HEAD)
    try:
        return outline_bytes(_content(head))
    except (ValueError, IndexError, OverflowError):
        return Outline()


def _content(data: bytes) -> bytes:
    """What follows the leading pickles."""
    stream = io.BytesIO(data)
    for _ in range(_LEADING):
        for _ in pickletools.genops(stream):
            pass
    return data[stream.tell() :]
