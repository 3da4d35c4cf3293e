"""Grids of trials: attacks x defences x seeds, each run once and recorded."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# Loaded on first use, so that the names of the suites that come with unpoison need no torch.
_PUBLIC = {
    **dict.fromkeys(
        ("Attack", "ClassifierFit", "Defence", "Model", "Source", "Training"),
        "unpoison.bench.sections",
    ),
    **dict.fromkeys(("Suite", "read_suite"), "unpoison.bench.suite"),
    "run_suite": "unpoison.bench.running",
}

__all__ = [
    "Attack",
    "ClassifierFit",
    "Defence",
    "Model",
    "Source",
    "Suite",
    "Training",
    "read_suite",
    "run_suite",
]

if TYPE_CHECKING:
    from unpoison.bench.running import run_suite
    from unpoison.bench.sections import Attack, ClassifierFit, Defence, Model, Source, Training
    from unpoison.bench.suite import Suite, read_suite


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'unpoison.bench' has no attribute '{name}'")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
