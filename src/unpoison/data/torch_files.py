"""Data sets saved with `torch.save`: tensors become numpy arrays, and the pickle inside goes through our allow-list."""

from __future__ import annotations

import math
import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from unpoison.core.errors import DataError, UnsafeFileError
from unpoison.data.archives import open_zip, read_member
from unpoison.data.pickled_values import Budget
from unpoison.data.unpickle import unpickle

_STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
    "BFloat16Storage": "bfloat16",
}
_ZIP = b"PK\x03\x04"
_REMEDY = "Ask its publisher for .npz, PNG or safetensors; do not open it with other tools"


def read_torch(path: Path) -> Any:
    """Read what `torch.save` wrote, to the CPU.

    Args:
        path: a `.pt` or `.pth` file.

    Returns:
        Containers and numbers as they are; tensors, on whatever device they were, as numpy arrays, bfloat16 as
        float32; Pillow images as `Picture`.

    Raises:
        DataError: the file is broken.
        UnsafeFileError: it asks for anything else. Nothing has been executed.
    """
    if not path.is_file():
        raise DataError(path, "there is no such file", "Check the spelling")
    if not zipfile.is_zipfile(path):
        return _read_legacy(path)
    with open_zip(path) as archive:
        names = [name for name in archive.namelist() if PurePosixPath(name).name == "data.pkl"]
        if len(names) != 1:
            raise DataError(path, "this is not a file of torch.save", "Name a .pt or .pth data set")
        root = PurePosixPath(names[0]).parent
        stored: dict[str, np.ndarray] = {}

        def load_storage(pid: Any) -> np.ndarray:
            _, dtype, key, _, count = pid
            if dtype not in _STORAGES.values():
                raise ValueError("a tensor of unknown type")
            if key not in stored:
                stored[key] = _numbers(read_member(archive, str(root / "data" / str(key)), path), dtype)
            if len(stored[key]) != count:
                raise ValueError(f"a tensor of {count} numbers with {len(stored[key])} stored")
            return stored[key]

        return unpickle(
            read_member(archive, names[0], path),
            path,
            record=names[0],
            calls={
                ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
                ("torch._utils", "_rebuild_parameter"): lambda budget, array, *_: array,
            },
            constants={("torch", name): code for name, code in _STORAGES.items()},
            persistent=load_storage,
            size_outside=sum(member.file_size for member in archive.infolist()),
        )


def _numbers(raw: bytes, dtype: str) -> np.ndarray:
    """Stored numbers; those of bfloat16, which NumPy lacks, as float32, whose upper halves they are."""
    if dtype == "bfloat16":
        return (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(raw, dtype)


def _rebuild_tensor(budget: Budget, stored: np.ndarray, offset: int, size: tuple, stride: tuple, *_: Any) -> np.ndarray:
    if len(size) != len(stride) or min((offset, *size, *stride)) < 0:
        raise ValueError("a tensor of impossible shape")
    if math.prod(size) == 0:
        return np.zeros(size, stored.dtype)
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if last >= len(stored):
        raise ValueError("a tensor that reaches beyond its data")
    budget.spend(math.prod(size) * stored.itemsize)
    steps = [step * stored.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(stored[offset:], size, steps, writeable=False).copy()


def _read_legacy(path: Path) -> Any:
    """Files from before torch 1.6 are no zip; torch's own restricted loader reads those that hold tensors only."""
    with open(path, "rb") as file:
        head = file.read(len(_ZIP))
    if head in (b"", _ZIP):
        raise DataError(path, "the file is empty" if not head else "the file is cut short", "Fetch it again")
    import torch

    try:
        return _to_numpy(torch.load(path, map_location="cpu", weights_only=True))
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
    ) as error:
        # Torch's own text advises to switch the protection off.
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        problem = (
            f"it asks for '{asked[1]}', which could run code" if asked else "it is broken, or holds more than tensors"
        )
        raise UnsafeFileError(path, problem, _REMEDY) from None


def _to_numpy(value: Any) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        value = value.detach()
        return (value.float() if value.dtype is torch.bfloat16 else value).numpy()
    if isinstance(value, (dict, OrderedDict)):
        return type(value)((key, _to_numpy(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return type(value)(_to_numpy(item) for item in value)
    return value
