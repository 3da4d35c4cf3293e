"""Tensors inside plain pickles, as numpy arrays. They carry bytes of `torch.save`, which could carry anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from unpoison.data.safe.pickled_values import Budget
from unpoison.data.safe.torch_legacy import read_legacy
from unpoison.data.safe.torch_storage import TENSOR_CALLS, Storage


def _load_storage(budget: Budget, raw: Any) -> Storage:
    """`torch.storage._load_from_bytes`."""
    if not isinstance(raw, bytes):
        raise ValueError("a tensor without bytes")
    budget.spend(len(raw))
    stored = read_legacy(raw, Path("a tensor"), calls={})
    if not isinstance(stored, Storage):
        raise ValueError("a broken tensor")
    return stored


PICKLED_TENSOR_CALLS: dict[tuple[str, str], Callable[..., Any]] = {
    **TENSOR_CALLS,
    ("torch.storage", "_load_from_bytes"): _load_storage,
}
"""What a plain pickle with tensors in it may call."""
