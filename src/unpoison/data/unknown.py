"""What to say about a path that is of no known format."""

from __future__ import annotations

import re
from pathlib import Path

from unpoison.core.errors import DataError
from unpoison.data.methods import METHODS
from unpoison.data.pictures.codec import SUFFIXES

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/")  # a Path makes one slash of two
_PACKED = (".rar", ".7z", ".gz", ".bz2", ".xz", ".zst", ".tbz2", ".txz")


def explain_unknown(path: Path) -> DataError:
    """What a path is that no format claims, and what to do."""
    text = str(path)
    if _ADDRESS.match(text):
        address = re.sub(":/+", "://", text, count=1)
        return DataError(
            address,
            "this is an address, and nothing is fetched from one",
            "Download it and name the file, or name a set of the Hub as hf://owner/name",
        )
    if not path.exists():
        return DataError(path, "there is no such file or folder", "Check the spelling")
    if path.suffix.lower() in SUFFIXES:
        return DataError(
            path,
            "this is one picture, and a set is wanted",
            "Put it into a folder of its class, and name the folder above",
        )
    if path.suffix.lower() in _PACKED:
        return DataError(path, "of packed files only .zip and .tar.gz are read", "Unpack it, and name its folder")
    return DataError(path, "this is of no known format", f"Name one with --format: {', '.join(METHODS)}")
