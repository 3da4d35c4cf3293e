"""Checkpoints: weights as `torch.save` or safetensors wrote them, read in one place. No file runs code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from unpoison.core.errors import DataError
from unpoison.data.safe.plain_files import open_plain
from unpoison.data.safe.torch_files import read_torch

_WRAPPERS = ("net", "state_dict")
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile, in any order
_REMEDY = "Save the state dict alone, or convert it to safetensors"


def read_checkpoint(path: Path) -> Any:
    """Whatever a checkpoint holds, its tensors on the CPU.

    Args:
        path: `.safetensors`, or any other name for a file of `torch.save`.

    Returns:
        Containers and numbers as they are, tensors as `Tensor`; bfloat16 is float32, which holds the same values.

    Raises:
        DataError: the file is missing or broken.
        UnsafeFileError: it asks for objects that weights have no need of.
    """
    if path.suffix != ".safetensors":
        return read_torch(path, make_tensor=torch.from_numpy)
    with open_plain(path):
        pass  # only what is a file may be opened again
    try:
        return load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(path, f"not a readable safetensors file ({reason})", "Fetch it again") from None


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name.

    A wrapping `{"net": ...}` or `{"state_dict": ...}`, and a `module.` or `_orig_mod.` before every name, are taken
    off.

    Raises:
        DataError: the file is missing or broken, or does not hold weights by name.
        UnsafeFileError: it asks for objects that weights have no need of.
    """
    content = read_checkpoint(path)
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content:
        raise DataError(path, f"it holds {type(content).__name__}, not weights by name", _REMEDY)
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise DataError(path, f"its entry {str(name)[:80]!r} is a {type(value).__name__}, no tensor", _REMEDY)
    state = dict(content)
    while prefix := next((prefix for prefix in _PREFIXES if all(name.startswith(prefix) for name in state)), ""):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state
