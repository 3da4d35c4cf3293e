"""A finished block on its way from the purifier to the assembled set."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from unpoison.core.hashing import hash_picture
from unpoison.core.picture import Picture
from unpoison.data.pictures.codec import encode
from unpoison.runs.measuring import Change, measure_change


@dataclass(frozen=True)
class PurifiedPicture:
    """A purified picture, and what it was made from.

    Args:
        data: [H, W, C] uint8 in the channels the source had, or the same as a PNG.
        source_hash: hash of the source picture with its label.
        result_hash: hash of the purified picture, as a reader will see it, with its label.
        mode: mode of the source picture.
        change: how much was changed.
    """

    data: np.ndarray | bytes
    source_hash: bytes
    result_hash: bytes
    mode: str
    change: Change


# The pictures of a block, in order.
Block = list[PurifiedPicture]


def finish_picture(source: Picture, purified: np.ndarray, label: int, *, png: bool) -> PurifiedPicture:
    """Bring a purified picture into the form in which it is stored.

    Args:
        source: what it was made from.
        purified: [H, W, 3] uint8.
        label: class index; -1 for unknown.
        png: store it as a PNG.
    """
    stored = source.restore(purified)
    seen = as_rgb(stored)
    return PurifiedPicture(
        encode(stored) if png else stored,
        hash_picture(source.rgb, label),
        hash_picture(seen, label),
        source.mode,
        measure_change(source.rgb, seen),
    )


def as_rgb(picture: np.ndarray) -> np.ndarray:
    """[H, W, C] uint8 in any channels as a reader of the written file will see it: [H, W, 3]."""
    if picture.shape[2] >= 3:
        return picture[..., :3]
    return np.repeat(picture[..., :1], 3, axis=2)


def pack(block: Block) -> bytes:
    """A block as the bytes of an npz. Its pictures lie one behind the other: an array for each would take longer."""
    buffer = io.BytesIO()
    shapes = [(0, 0, 0) if isinstance(picture.data, bytes) else picture.data.shape for picture in block]
    contents = [data if isinstance(data := picture.data, bytes) else data.tobytes() for picture in block]
    np.savez(
        buffer,
        data=np.frombuffer(b"".join(contents), np.uint8),
        lengths=np.array([len(content) for content in contents], np.int64),
        shapes=np.array(shapes, np.int32),
        source_hashes=_as_rows([picture.source_hash for picture in block]),
        result_hashes=_as_rows([picture.result_hash for picture in block]),
        modes=np.array([picture.mode for picture in block]),
        changes=np.array([picture.change for picture in block], np.float32),
    )
    return buffer.getvalue()


def unpack(packed: bytes) -> Block:
    """The block that `pack` made the bytes of."""
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        columns = [
            _cut(arrays["data"], arrays["lengths"], arrays["shapes"]),
            [row.tobytes() for row in arrays["source_hashes"]],
            [row.tobytes() for row in arrays["result_hashes"]],
            arrays["modes"].tolist(),
            [Change(*row) for row in arrays["changes"].tolist()],
        ]
    return [PurifiedPicture(*values) for values in zip(*columns, strict=True)]


def _as_rows(hashes: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), 32)


def _cut(data: np.ndarray, lengths: np.ndarray, shapes: np.ndarray) -> list[np.ndarray | bytes]:
    stops = np.cumsum(lengths).tolist()
    parts = [data[stop - length : stop] for stop, length in zip(stops, lengths.tolist(), strict=True)]
    return [
        part.reshape(shape) if any(shape) else part.tobytes()
        for part, shape in zip(parts, shapes.tolist(), strict=True)
    ]
