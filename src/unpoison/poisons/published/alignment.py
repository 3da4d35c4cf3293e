"""Alignment of a published poison with the clean set that it is laid over: does it stand in that order?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unpoison.core.chunks import slices
from unpoison.core.errors import DataError
from unpoison.core.images import ImageSet

# A poisoned picture is nearer to its own clean picture than to another one, however strong the poison and even if the
# clean copy is a JPEG; in a shuffled file half of them are. Measured on CIFAR-10: 0.996 for CUDA, which darkens and
# blurs, 1.000 for LSP, AR, noise up to 64/255 and JPEG of quality 10.
NEARER = 0.95
_PROBES = 64  # pictures whose place is looked for when a file does not fit
_CLEARLY = 0.7  # of the distance to the second nearest


@dataclass(frozen=True)
class Alignment:
    """How well the pictures of a file fit the clean ones.

    Args:
        median_255: median change of a value, in levels.
        median_shuffled_255: the same against other clean pictures.
        nearer_to_own: share of pictures that are nearer to their own clean picture than to another one.
        labels: `equal`, or `not stored` if the file has none.
    """

    median_255: float
    median_shuffled_255: float
    nearer_to_own: float
    labels: str

    def describe(self) -> dict[str, Any]:
        """As JSON, for the manifest."""
        return asdict(self)


def verify_alignment(
    clean: ImageSet, images: np.ndarray, labels: np.ndarray | None, *, file: Path, rows: np.ndarray | None = None
) -> Alignment:
    """Check that each picture is a perturbed form of its own clean picture, with the same label.

    The clean set may be a JPEG copy, whose error of a few levels counts as change.

    Args:
        clean: the clean set.
        images: [M, H, W, 3] uint8, the pictures of the file.
        labels: [M] its labels, numbered as in the clean set, or None if it has none.
        file: name for errors.
        rows: [M] rows of the clean set that they stand for; all of them, in order, if None.

    Raises:
        DataError: another number or size of pictures, another order, another set, or other labels.
    """
    originals = clean.array()
    if rows is None:
        if len(images) != len(clean):
            raise DataError(
                file,
                f"it holds {len(images)} pictures, but {clean.name} has {len(clean)}",
                "Name the clean set that it was made from",
            )
        rows = np.arange(len(clean))
    if images.shape[1:] != originals.shape[1:]:
        raise DataError(
            file,
            f"its pictures are {images.shape[2]}x{images.shape[1]}, those of {clean.name} "
            f"{originals.shape[2]}x{originals.shape[1]}",
            "Name the clean set that it was made from",
        )
    alignment = compare(originals, images, rows, "not stored" if labels is None else "equal")
    if alignment.nearer_to_own < NEARER:
        raise _misaligned(file, clean, originals, images, alignment)
    if labels is not None and (labels != clean.labels[rows]).any():
        wrong = np.flatnonzero(labels != clean.labels[rows])
        raise DataError(
            file,
            f"the pictures fit {clean.name}, but {len(wrong)} of {len(rows)} labels differ, the first being "
            f"{labels[wrong[0]]} where the clean set has {clean.labels[rows[wrong[0]]]}",
            "These poisons keep labels: check that both sets number their classes alike",
            record=int(wrong[0]),
        )
    return alignment


def nearest_rows(
    originals: np.ndarray, images: np.ndarray, among: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """For every picture the clean one that it most resembles, told from small averaged copies.

    Args:
        originals: [N, H, W, 3] uint8.
        images: [M, H, W, 3] uint8.
        among: rows that come into question, at least two; all if None.

    Returns:
        [M] int64 rows, and [M] bool: whether it resembles that one clearly more than the second.
    """
    among = np.arange(len(originals)) if among is None else among
    small = np.concatenate([_thumbnails(originals[among[part]]) for part in slices(len(among), originals.shape[1:])])
    rows, clear = np.empty(len(images), np.int64), np.empty(len(images), bool)
    for number, wanted in enumerate(_thumbnails(images)):
        distances = ((small - wanted) ** 2).sum(axis=1)
        first, second = np.argpartition(distances, 1)[:2]
        rows[number] = among[first]
        clear[number] = distances[first] < _CLEARLY**2 * distances[second]
    return rows, clear


def compare(originals: np.ndarray, images: np.ndarray, rows: np.ndarray, labels: str) -> Alignment:
    """How well pictures fit the clean ones in their rows.

    Args:
        originals: [N, H, W, 3] uint8, the clean pictures.
        images: [M, H, W, 3] uint8.
        rows: [M] rows of the clean set.
        labels: what is known of the labels.
    """
    count = len(originals)
    shift = np.random.default_rng(0).integers(1, max(count, 2), len(rows))
    others = (rows + shift) % count
    histograms = np.zeros((2, 256), np.int64)
    nearer = 0
    for block in slices(len(rows), images.shape[1:]):
        means = []
        for which, partner in enumerate((rows[block], others[block])):
            change = np.abs(images[block].astype(np.int16) - originals[partner])
            histograms[which] += np.bincount(change.reshape(-1), minlength=256)
            means.append(change.mean(axis=(1, 2, 3)))
        nearer += int((means[0] < means[1]).sum() if count > 1 else len(means[0]))
    own, shuffled = (float(np.searchsorted(np.cumsum(row), row.sum() / 2)) for row in histograms)
    return Alignment(own, shuffled, nearer / len(rows), labels)


def _misaligned(
    file: Path, clean: ImageSet, originals: np.ndarray, images: np.ndarray, alignment: Alignment
) -> DataError:
    probes = images[np.random.default_rng(0).permutation(len(images))[:_PROBES]]
    matched = len(originals) > 1 and nearest_rows(originals, probes)[1].mean() > 0.5
    share = f"only {alignment.nearer_to_own:.0%} of its pictures are nearer to the clean one in their row than others"
    if not matched:
        return DataError(
            file, f"it was not made from {clean.name}: {share}", "Name the clean set that it was made from"
        )
    return DataError(
        file,
        f"it holds the pictures of {clean.name} in another order: {share}",
        "If it brings its own labels, use it as a set by itself; else bring it into the order of the clean set",
    )


def _thumbnails(images: np.ndarray) -> np.ndarray:
    """[N, H, W, 3] uint8 to [N, up to 8 * 8 * 3] float32: means over cells, in which high frequencies vanish."""
    count, height, width, _ = images.shape
    down, across = max(height // 8, 1), max(width // 8, 1)
    cut = images[:, : height // down * down, : width // across * across].astype(np.float32)
    cells: np.ndarray = cut.reshape(count, height // down, down, width // across, across, 3).mean(axis=(2, 4))
    return cells.reshape(count, -1)
