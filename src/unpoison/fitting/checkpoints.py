"""Checkpoints of a fit: enough to go on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from unpoison.core.errors import DataError, RunError
from unpoison.core.files import atomic_path
from unpoison.data.safe.checkpoints import read_checkpoint


def checkpoint_path(out: Path) -> Path:
    """The checkpoint of a fit lies beside its output, as `OUT.checkpoint`."""
    return out.with_name(f"{out.name}.checkpoint")


def save_checkpoint(path: Path, state: dict[str, Any], *, fingerprint: str) -> None:
    """Write a state of tensors and plain values, in one piece or not at all.

    Args:
        path: file to write.
        state: what `state` of the run gives.
        fingerprint: hash of settings, seed and data of the fit.
    """
    # Through a file of Python's: torch's own tells a full disk as an error of its format.
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        torch.save({**state, "fingerprint": fingerprint}, file)


def begun_fit(path: Path) -> str | None:
    """The fingerprint of the fit that a checkpoint belongs to; None if there is no checkpoint, or a damaged one."""
    state = _load(path)
    return state.get("fingerprint") if isinstance(state, dict) else None


def load_checkpoint(path: Path, *, fields: Iterable[str], fingerprint: str) -> dict[str, Any] | None:
    """Read the state of an unfinished fit, on the CPU; None if there is none. Reading runs no code.

    Args:
        path: the checkpoint.
        fields: names of what is in the state of such a fit.
        fingerprint: hash of settings, seed and data of the fit that wants to go on.

    Raises:
        RunError: the file is damaged, or belongs to another fit.
    """
    if not path.exists():
        return None
    state = _load(path)
    if not isinstance(state, dict) or set(state) != {"fingerprint", *fields}:
        raise RunError(f"{path} is not a checkpoint of this kind of fit; delete it to start afresh")
    if state["fingerprint"] != fingerprint:
        raise RunError(f"{path} belongs to a fit with other settings, seed or data; delete it or choose another output")
    return state


def _load(path: Path) -> Any:
    """What a checkpoint holds; None if it cannot be read."""
    try:
        return read_checkpoint(path)
    except DataError:
        return None
