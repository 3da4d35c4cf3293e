"""Tensors inside plain pickles, as numpy arrays. They carry bytes of `torch.save`, which could carry anything."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from unpoison.data.pickled_values import Budget


def _load_storage(budget: Budget, raw: Any) -> np.ndarray:
    """`torch.storage._load_from_bytes`, by torch's own loader of weights, which runs no code."""
    import torch

    if not isinstance(raw, bytes):
        raise ValueError("a tensor without bytes")
    budget.spend(len(raw))
    try:
        stored = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, AttributeError, LookupError, TypeError, EOFError):
        raise ValueError("a broken tensor") from None
    if not isinstance(stored, torch.storage.TypedStorage):
        raise ValueError("a tensor of unknown type")
    tensor = torch.tensor([], dtype=stored.dtype).set_(stored)
    return (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).numpy()


def _rebuild(budget: Budget, stored: Any, offset: int, size: tuple, stride: tuple, *_: Any) -> np.ndarray:
    """`torch._utils._rebuild_tensor_v2`, of tensors that lie in one piece."""
    count = int(np.prod(size, dtype=object)) if all(isinstance(length, int) and length >= 0 for length in size) else -1
    whole = tuple(int(np.prod(size[axis + 1 :], dtype=object)) for axis in range(len(size)))
    if not isinstance(stored, np.ndarray) or count < 0 or offset < 0 or offset + count > len(stored):
        raise ValueError("a tensor that reaches beyond its data")
    if count and any(length > 1 and step != full for length, step, full in zip(size, stride, whole, strict=True)):
        raise ValueError("a tensor that does not lie in one piece")
    return stored[offset : offset + count].reshape(size)


TENSOR_CALLS: dict[tuple[str, str], Callable] = {
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
    ("torch.storage", "_load_from_bytes"): _load_storage,
}
