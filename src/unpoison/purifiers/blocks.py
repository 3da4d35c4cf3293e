"""A finished block on its way from the purifier to the assembled set."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unpoison.core.files import atomic_path
from unpoison.core.hashing import hash_picture


@dataclass(frozen=True)
class Block:
    """Purified pictures, and what they were made from.

    Args:
        pictures: [H, W, C] uint8 each, in the channels the source had.
        source_hashes: hash of each source picture.
        modes: mode of each source picture.
    """

    pictures: list[np.ndarray]
    source_hashes: list[bytes]
    modes: list[str]

    def rgb(self) -> list[np.ndarray]:
        """[H, W, 3] uint8 each, as a reader of the written file will see them."""
        return [_as_rgb(picture) for picture in self.pictures]

    def result_hashes(self, labels: Sequence[int]) -> list[bytes]:
        """Hash of each purified picture with its label."""
        return [hash_picture(rgb, int(label)) for rgb, label in zip(self.rgb(), labels, strict=True)]

    def save(self, path: Path) -> None:
        """Write the block in one piece."""
        arrays: dict[str, Any] = {f"picture_{row}": picture for row, picture in enumerate(self.pictures)}
        hashes = np.frombuffer(b"".join(self.source_hashes), np.uint8).reshape(-1, 32)
        buffer = io.BytesIO()
        np.savez(buffer, source_hashes=hashes, modes=np.array(self.modes), **arrays)
        with atomic_path(path) as temporary:
            temporary.write_bytes(buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> Block:
        """Read a block written by `save`."""
        with np.load(path, allow_pickle=False) as arrays:
            modes = arrays["modes"].tolist()
            pictures = [arrays[f"picture_{row}"] for row in range(len(modes))]
            return cls(pictures, [row.tobytes() for row in arrays["source_hashes"]], modes)


def _as_rgb(picture: np.ndarray) -> np.ndarray:
    if picture.shape[2] >= 3:
        return picture[..., :3]
    return np.repeat(picture[..., :1], 3, axis=2)
