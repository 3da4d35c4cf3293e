"""Single NumPy arrays, `.npy`: mapped into memory, never unpickled."""

from __future__ import annotations

import math
from pathlib import Path
from tokenize import TokenError

import numpy as np

from unpoison.core.errors import DataError, UnsafeFileError

_HEADER_BYTES = 10_000  # NumPy's own limit on the text of a header
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_REMEDY = "Fetch it again, or write it with numpy.save"


def read_npy(path: Path) -> np.ndarray:
    """Read an array; its data comes from the disk as it is used.

    Returns:
        A read-only array of plain numbers.

    Raises:
        DataError: there is no such file, or it is broken.
        UnsafeFileError: it holds objects, or claims more or less data than the file has.
    """
    if not path.is_file():
        raise DataError(path, "there is no such file", "Check the spelling, and that the download is complete")
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            shape, fortran, dtype = _HEADERS[version](file, max_header_size=_HEADER_BYTES)
            offset = file.tell()
    except (ValueError, TypeError, KeyError, EOFError, MemoryError, RecursionError, SyntaxError, TokenError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(path, f"this is not a .npy array, or it is broken ({reason})", _REMEDY) from None
    if dtype.hasobject:
        raise UnsafeFileError(
            path, "the array holds Python objects, which could run code", "Ask its publisher for plain numbers"
        )
    claimed, size = math.prod(shape) * dtype.itemsize, path.stat().st_size - offset
    if claimed != size or min(shape, default=0) < 0:
        raise UnsafeFileError(path, f"the array claims {claimed} bytes and the file has {size}", _REMEDY)
    if claimed == 0:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")
