"""Numbers that torch stored, and the tensors that lie over them. Everything is counted before it is looked at."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from unpoison.data.safe.pickled_values import Budget

# By the name that a file has for them; bfloat16 is unknown to numpy, and float32 holds all its values.
_CODES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
STORAGES: dict[tuple[str, str], str] = {("torch", name): code for name, code in _CODES.items()}
"""What a file may name as the kind of its numbers."""
_TYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
TENSOR_CONSTANTS: dict[tuple[str, str], str] = {**STORAGES, **{("torch", name): name for name in _TYPES}}
"""Those, and the types of tensors, which stay names."""


class Storage:
    """The numbers under one or more tensors. Only our readers make it, and a pickle cannot alter it.

    Args:
        raw: the bytes as they lie in the file.
        code: kind of number, a value of `STORAGES`.
        count: how many numbers the file says there are.

    Raises:
        ValueError: of another kind, or of another count.
    """

    __slots__ = ("numbers",)
    numbers: np.ndarray

    def __init__(self, raw: bytes | memoryview, code: Any, count: Any):
        size = item_size(code)
        if type(count) is not int or count * size != len(raw):
            raise ValueError(f"a tensor of {count} numbers with {len(raw) // size} stored")
        if code == "bfloat16":
            numbers = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
        else:
            numbers = np.frombuffer(raw, code)
        object.__setattr__(self, "numbers", numbers)

    def __setattr__(self, name: str, value: Any) -> None:
        raise ValueError("it alters a tensor")


def item_size(code: Any) -> int:
    """Bytes of a number in the file.

    Raises:
        ValueError: a kind that is not known.
    """
    if not isinstance(code, str) or code not in STORAGES.values():
        raise ValueError("a tensor of unknown type")
    return 2 if code == "bfloat16" else np.dtype(code).itemsize


def rebuild_tensor(budget: Budget, stored: Any, offset: Any, size: Any, stride: Any, *_: Any) -> np.ndarray:
    """`torch._utils._rebuild_tensor_v2`: a copy of the numbers that a tensor takes from its storage.

    Sizes come from the file: they are compared, as whole numbers of any length, with what is stored before a stride
    is followed. Nothing else that a pickle may build passes for a storage.
    """
    if not isinstance(stored, Storage):
        raise ValueError("a tensor without numbers of its own")
    lengths, steps = _whole_numbers(size), _whole_numbers(stride)
    if len(lengths) != len(steps) or type(offset) is not int or min((offset, *lengths, *steps)) < 0:
        raise ValueError("a tensor of impossible shape")
    numbers = stored.numbers
    if 0 in lengths:
        return np.zeros(lengths, numbers.dtype)
    last = offset + sum((length - 1) * step for length, step in zip(lengths, steps, strict=True))
    if last >= len(numbers):
        raise ValueError("a tensor that reaches beyond its data")
    budget.spend(math.prod(lengths) * numbers.itemsize)
    # The step of an axis of length 1 is never taken, and may be of any size.
    strides = [step * numbers.itemsize if length > 1 else 0 for length, step in zip(lengths, steps, strict=True)]
    return np.lib.stride_tricks.as_strided(numbers[offset:], lengths, strides, writeable=False).copy()


def rebuild_parameter(budget: Budget, tensor: Any, *_: Any) -> Any:
    """`torch._utils._rebuild_parameter`: the tensor alone."""
    return tensor


def make_size(budget: Budget, lengths: Any = ()) -> tuple[int, ...]:
    """`torch.Size`: a tuple."""
    return _whole_numbers(lengths)


TENSOR_CALLS: dict[tuple[str, str], Callable[..., Any]] = {
    ("torch", "Size"): make_size,
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): rebuild_parameter,
}
"""What a file of torch may call."""


def _whole_numbers(values: Any) -> tuple[int, ...]:
    if not isinstance(values, (tuple, list)) or not all(type(value) is int for value in values):
        raise ValueError("a tensor of impossible shape")
    return tuple(values)
