"""unpoison: make a labelled image set from an untrusted source safe to train on."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Loaded on first use (PEP 562), so that `import unpoison` and `--help` need no torch.
_PUBLIC = {
    "ImageSet": "unpoison.core.images:ImageSet",
    "UnpoisonError": "unpoison.core.errors:UnpoisonError",
    "read": "unpoison.data:read",
    "write": "unpoison.data:write",
    "poison": "unpoison.poisons.crafting:poison",
    "audit": "unpoison.public.auditing:audit",
    "purify": "unpoison.public.purifying:purify",
    "Purify": "unpoison.public.transform:Purify",
    "fit": "unpoison.fitting.diffusion:fit",
    "fit_energy": "unpoison.fitting.energy:fit_energy",
    "train": "unpoison.public.training:train",
    "score": "unpoison.scoring.accuracy:score",
}

__all__ = [
    "ImageSet",
    "Purify",
    "UnpoisonError",
    "__version__",
    "audit",
    "fit",
    "fit_energy",
    "poison",
    "purify",
    "read",
    "score",
    "train",
    "write",
]

if TYPE_CHECKING:
    from unpoison.core.errors import UnpoisonError
    from unpoison.core.images import ImageSet
    from unpoison.data import read, write
    from unpoison.fitting.diffusion import fit
    from unpoison.fitting.energy import fit_energy
    from unpoison.poisons.crafting import poison
    from unpoison.public.auditing import audit
    from unpoison.public.purifying import purify
    from unpoison.public.training import train
    from unpoison.public.transform import Purify
    from unpoison.scoring.accuracy import score


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'unpoison' has no attribute '{name}'")
    module, attribute = _PUBLIC[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
