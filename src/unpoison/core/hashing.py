"""Hashes that name data, settings and weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np


def hash_file(path: Path) -> str:
    """sha256 of a file's bytes, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def hash_json(value: Any) -> str:
    """sha256 of a JSON value, hexadecimal, the same for every order of keys."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def hash_picture(rgb: np.ndarray, label: int) -> bytes:
    """sha256 of one decoded picture with its label, 32 bytes.

    Args:
        rgb: [H, W, C] uint8.
        label: class index; -1 for unknown.
    """
    digest = hashlib.sha256(f"{rgb.shape[0]}x{rgb.shape[1]}:{label}:".encode())
    digest.update(np.ascontiguousarray(rgb).data)
    return digest.digest()


def hash_pictures(digests: Iterable[bytes]) -> str:
    """Content hash of a set, hexadecimal, from the hashes of its pictures.

    The order does not count: a folder is read class by class, a file row by row, and both may hold the same set.
    """
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()
