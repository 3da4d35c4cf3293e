"""Files of `torch.save`: tensors become numpy arrays, and the pickle inside goes through our allow-list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from unpoison.core.errors import DataError, UnsafeFileError
from unpoison.core.limits import PICKLE_BYTES
from unpoison.data.safe.archives import is_zip, open_zip, read_member
from unpoison.data.safe.pickled_values import Budget
from unpoison.data.safe.plain_files import read_plain
from unpoison.data.safe.torch_legacy import is_legacy, read_legacy
from unpoison.data.safe.torch_storage import TENSOR_CALLS, TENSOR_CONSTANTS, Storage, rebuild_tensor
from unpoison.data.safe.unpickle import unpickle

_ZIP = b"PK\x03\x04"


def read_torch(path: Path, *, make_tensor: Callable[[np.ndarray], Any] = lambda array: array) -> Any:
    """Read what `torch.save` wrote. Torch itself has no part in it: its own loader believes the sizes in a file.

    Args:
        path: a `.pt` or `.pth` file, of any version of torch since 0.4.
        make_tensor: what to make of the numbers of a tensor; they are a copy, and bfloat16 is float32.

    Returns:
        Containers and numbers as they are; tensors, on whatever device they were, as `make_tensor` gives them; Pillow
        images as `Picture`.

    Raises:
        DataError: the file is broken.
        UnsafeFileError: it asks for anything else. Nothing has been executed.
    """

    def rebuild(budget: Budget, *arguments: Any) -> Any:
        return make_tensor(rebuild_tensor(budget, *arguments))

    calls = {**TENSOR_CALLS, ("torch._utils", "_rebuild_tensor_v2"): rebuild}
    if is_legacy(path):
        return read_legacy(read_plain(path, PICKLE_BYTES), path, calls=calls)
    if not is_zip(path):
        head = read_plain(path, len(_ZIP), whole=False)
        if head in (b"", _ZIP):
            raise DataError(path, "the file is empty" if not head else "the file is cut short", "Fetch it again")
        raise DataError(path, "this is not a file of torch.save", "Name a .pt or .pth file")
    return _read_zip(path, calls)


def _read_zip(path: Path, calls: dict[tuple[str, str], Callable[..., Any]]) -> Any:
    with open_zip(path) as archive:
        names = [name for name in archive.namelist() if PurePosixPath(name).name == "data.pkl"]
        if len(names) != 1:
            raise DataError(path, "this is not a file of torch.save", "Name a .pt or .pth file")
        held = sum(member.file_size for member in archive.infolist())
        if held > path.stat().st_size:  # torch stores its records as they are, side by side
            raise UnsafeFileError(path, f"it would unfold to {held} bytes, more than it has", "Do not use this file")
        root = PurePosixPath(names[0]).parent
        order = str(root / "byteorder")
        if order in archive.namelist() and read_member(archive, order, path) != b"little":
            raise DataError(
                path, "its numbers are in the order of another kind of machine", "Save it again on this one"
            )
        stored: dict[str, Storage] = {}

        def load_storage(pid: Any) -> Storage:
            _, code, key, _, count = pid
            if key not in stored:
                stored[key] = Storage(read_member(archive, str(root / "data" / str(key)), path), code, count)
            return stored[key]

        return unpickle(
            read_member(archive, names[0], path),
            path,
            record=names[0],
            calls=calls,
            constants=TENSOR_CONSTANTS,
            persistent=load_storage,
            size_outside=held,
        )
