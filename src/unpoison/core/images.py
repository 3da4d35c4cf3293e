"""A labelled image set, whatever it is stored in."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unpoison.core.columns import Columns
from unpoison.core.errors import DataError, SettingsError, join_errors
from unpoison.core.hashing import hash_picture, hash_pictures
from unpoison.core.limits import CLASSES, PICTURES, TEXT_LENGTH
from unpoison.core.notes import Note
from unpoison.core.picture import Picture
from unpoison.core.showing import describe, to_html

if TYPE_CHECKING:
    from torch import Tensor

BLOCK_IMAGES = 256
BLOCK_PIXELS = 64_000_000


class ImageSet(ABC):
    """Pictures with labels, read on demand. Readers subclass it; nothing else knows how a set is stored.

    Args:
        name: short name for records, without a folder.
        ids: one name per picture: relative path without extension, else the 8-digit row.
        labels: [N] int64 class indices; -1 where unknown.
        class_names: name of each class.
        sizes: [N, 2] int32 heights and widths; 0 where a header is broken, which decoding then reports.

    Raises:
        DataError: two pictures share an id, the lengths differ, or a label is out of range.
    """

    format: str = "array"  # name of the format it was read from; readers set it
    columns: Columns | None = None  # of the tables that it was read from, for those that are written
    folder: Path | None = None  # that it was read from, into which nothing may be written; `read` sets it
    notes: tuple[Note, ...] = ()  # what was left out or read in another way; readers fill it, `read` tells it

    def __init__(
        self,
        name: str,
        ids: Sequence[str],
        labels: Sequence[int] | np.ndarray,
        class_names: Sequence[str],
        sizes: np.ndarray,
    ):
        self.name = name
        self.ids = tuple(ids)
        self.labels = _whole_numbers(name, labels)
        self.class_names = tuple(str(class_name) for class_name in class_names)
        self.sizes = np.asarray(sizes, dtype=np.int32).reshape(-1, 2)
        self._check()

    def _check(self) -> None:
        if not len(self.ids) == len(self.labels) == len(self.sizes):
            raise DataError(
                self.name,
                f"{len(self.ids)} pictures but {len(self.labels)} labels",
                "Every picture needs exactly one label",
            )
        if len(set(self.ids)) != len(self.ids):
            twice = next(image_id for image_id, count in Counter(self.ids).items() if count > 1)
            raise DataError(
                self.name, f"two pictures share the id '{twice}'", "Rename one: files may not differ in extension only"
            )
        for text in (*self.ids, *self.class_names):
            if len(text) > TEXT_LENGTH:
                raise DataError(self.name, f"the name '{text[:40]}...' is {len(text)} characters long", "Shorten it")
            if not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
                raise DataError(self.name, f"the name '{text}' is not UTF-8", "Rename it, for instance with convmv")
        wrong = np.flatnonzero((self.labels < -1) | (self.labels >= len(self.class_names)))
        if len(wrong):
            raise DataError(
                self.name,
                f"label {self.labels[wrong[0]]} is outside 0 to {len(self.class_names) - 1}",
                "Correct the label or name all classes",
                record=self.ids[wrong[0]],
            )

    def inherit(self, source: ImageSet) -> None:
        """Take over what is known of the set that this one was made from."""
        self.format, self.folder, self.notes, self.columns = source.format, source.folder, source.notes, source.columns

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"<ImageSet {describe(self)}>"

    def _repr_html_(self) -> str:
        return to_html(self)

    @abstractmethod
    def picture(self, index: int) -> Picture:
        """Decode one picture.

        Raises:
            DataError: the picture is broken.
        """

    def stamp(self, rows: range) -> str:
        """What tells whether some pictures are still as they were: equal stamps, equal pictures.

        Readers of files take sizes and times in place of the pixels, and may give another stamp for equal pictures.
        """
        return _digest(hash_picture(self.picture(row).rgb, 0) for row in rows)

    def pixels(self, index: int) -> np.ndarray:
        """The colours of one picture: [H, W, 3] uint8."""
        return self.picture(index).rgb

    def load(self, indices: Sequence[int] | np.ndarray) -> list[np.ndarray]:
        """Decode some pictures: a list of [H, W, 3] uint8."""
        return [self.pixels(int(index)) for index in indices]

    def array(self) -> np.ndarray:
        """The whole set: [N, H, W, 3] uint8.

        Raises:
            SettingsError: the pictures differ in size.
            DataError: a picture is broken.
        """
        self.check_headers()
        if len(np.unique(self.sizes, axis=0)) > 1:
            raise SettingsError(
                f"{self.name} holds pictures of several sizes, from {_size(self.sizes.min(axis=0))} to "
                f"{_size(self.sizes.max(axis=0))}; poisoning and training need one size: resize them first, "
                "as in `unpoison convert SRC DST --size 32`"
            )
        pictures = self._decode(range(len(self)))
        return np.stack([picture.rgb for picture in pictures]) if pictures else np.zeros((0, 0, 0, 3), np.uint8)

    def check_headers(self) -> None:
        """Say what is wrong with pictures of unknown size, before a complaint about sizes hides it.

        Raises:
            DataError: names them.
        """
        self._decode(np.flatnonzero(self.sizes[:, 0] == 0).tolist())

    def _decode(self, rows: Iterable[int]) -> list[Picture]:
        """Some pictures; all that are broken are named together."""
        pictures: list[Picture] = []
        errors: list[DataError] = []
        for row in rows:
            try:
                pictures.append(self.picture(row))
            except DataError as error:
                errors.append(error)
        if errors:
            raise errors[0] if len(errors) == 1 else join_errors(self.name, errors, "Remove or replace them")
        return pictures

    @cached_property
    def content_hash(self) -> str:
        """sha256 over decoded pixels and labels: the same however the set is stored or ordered."""
        digests = (hash_picture(self.pixels(row), int(self.labels[row])) for row in range(len(self)))
        return hash_pictures(digests)

    @cached_property
    def distinct_names(self) -> tuple[str, ...]:
        """Names of the classes for records; two of one name, such as ImageNet's cranes, get their number."""
        twins = {name for name, count in Counter(self.class_names).items() if count > 1}
        return tuple(
            f"{name} (class {label})" if name in twins else name for label, name in enumerate(self.class_names)
        )

    def count_per_class(self) -> dict[str, int]:
        """How many pictures each class has, by its distinct name, empty classes included."""
        counts = np.bincount(self.labels[self.labels >= 0], minlength=len(self.class_names))
        return dict(zip(self.distinct_names, counts.tolist(), strict=True))

    def subset(self, indices: Sequence[int] | np.ndarray) -> ImageSet:
        """Some of the pictures, [n] rows in any order, under their own ids."""
        return _Subset(self, np.asarray(indices, dtype=np.int64))

    def copies(self, count: int) -> ImageSet:
        """Every picture so many times, the whole set one time after the other, under the ids of its draws: `draw_id`.

        Raises:
            SettingsError: a picture has the id that a copy of another one would get.
        """
        if count == 1:
            return self
        check_count(self.name, count * len(self))
        ids = [draw_id(image_id, number) for number in range(1, count + 1) for image_id in self.ids]
        if taken := set(self.ids).intersection(ids[len(self) :]):
            raise SettingsError(f"{self.name}: a copy of another picture would be called '{min(taken)}' too; rename it")
        return _Subset(self, np.tile(np.arange(len(self)), count), ids)

    def blocks(self) -> Iterator[range]:
        """The units of work: the next pictures in order, at most 256 and at most 64 megapixels."""
        start, pixels = 0, 0
        areas = self.sizes[:, 0].astype(np.int64) * self.sizes[:, 1]
        for row, area in enumerate(areas.tolist()):
            if row > start and (row - start == BLOCK_IMAGES or pixels + area > BLOCK_PIXELS):
                yield range(start, row)
                start, pixels = row, 0
            pixels += area
        if start < len(self):
            yield range(start, len(self))

    def as_torch(self) -> TensorRows:
        """The rows as a torch DataLoader takes them: ([3, H, W] float32 in [0, 1], label)."""
        return TensorRows(self)


class TensorRows:
    """A map-style dataset over an image set; only a row needs torch."""

    def __init__(self, image_set: ImageSet):
        self.image_set = image_set

    def __len__(self) -> int:
        return len(self.image_set)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from unpoison.core.pixels import to_float

        return to_float(self.image_set.picture(index).rgb[None])[0], int(self.image_set.labels[index])


class ArrayImageSet(ImageSet):
    """A set held in memory.

    Args:
        images: [N, H, W, 3] uint8.
        labels: [N] class indices; -1 where unknown.
        class_names: name of each class; `0`, `1`, ... up to the largest label if left out.
        ids: one per picture; the 8-digit row if left out.
        name: short name for records.
        mode: how the pictures were stored, if they were converted to RGB.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: Sequence[int] | np.ndarray,
        *,
        class_names: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
        name: str = "array",
        mode: str = "RGB",
    ):
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise SettingsError(
                f"{name}: images must be uint8 [N, H, W, 3], got {images.dtype} {list(images.shape)}; "
                "floats are converted with unpoison.core.pixels.to_uint8"
            )
        labels = _whole_numbers(name, labels)
        check_count(name, len(images))
        if len(images) and 0 in images.shape:
            raise DataError(name, f"its pictures are {images.shape[2]}x{images.shape[1]}", "Store pictures with pixels")
        if class_names is None:
            if np.max(labels, initial=-1) >= CLASSES:
                raise DataError(name, f"label {np.max(labels)} is no number of a class", "Correct the label")
            class_names = [str(label) for label in range(int(labels.max(initial=-1)) + 1)]
        self.images, self._mode = images, mode
        sizes = np.tile(np.array(images.shape[1:3], np.int32), (len(images), 1))
        super().__init__(name, row_ids(len(images)) if ids is None else ids, labels, class_names, sizes)

    def picture(self, index: int) -> Picture:
        return Picture(self.images[index], self._mode)

    def pixels(self, index: int) -> np.ndarray:
        pixels: np.ndarray = self.images[index]
        return pixels

    def stamp(self, rows: range) -> str:
        return _digest([np.ascontiguousarray(self.images[rows.start : rows.stop]).data])

    def array(self) -> np.ndarray:
        return self.images


class _Subset(ImageSet):
    def __init__(self, whole: ImageSet, indices: np.ndarray, ids: Sequence[str] | None = None):
        self._whole, self._indices = whole, indices
        self.inherit(whole)
        self.columns = whole.columns and whole.columns.take(indices)
        ids = [whole.ids[row] for row in indices] if ids is None else ids
        super().__init__(whole.name, ids, whole.labels[indices], whole.class_names, whole.sizes[indices])

    def picture(self, index: int) -> Picture:
        return self._whole.picture(int(self._indices[index]))

    def stamp(self, rows: range) -> str:
        chosen = self._indices[rows.start : rows.stop].tolist()
        return _digest(self._whole.stamp(range(row, row + 1)).encode() for row in chosen)


def check_count(name: str, count: int) -> None:
    """Refuse a set of more pictures than can be named in memory.

    Raises:
        DataError: it claims so many.
    """
    if count > PICTURES:
        raise DataError(name, f"it claims {count} pictures, over {PICTURES}", "Cut it into several sets")


def row_ids(count: int) -> list[str]:
    """Ids of pictures that have no name of their own: their 8-digit row."""
    check_count("the set", count)
    return [f"{row:08d}" for row in range(count)]


def draw_id(image_id: str, number: int) -> str:
    """The id of a draw of a picture, counted from 1: the first has the picture's own.

    >>> draw_id("cat/3", 1), draw_id("cat/3", 2)
    ('cat/3', 'cat/3~2')
    """
    return image_id if number == 1 else f"{image_id}~{number}"


def _whole_numbers(name: str, labels: Sequence[int] | np.ndarray) -> np.ndarray:
    found = np.asarray(labels).reshape(-1)
    whole = found.astype(np.int64)
    if found.dtype.kind not in "biuf" or (whole != found).any():
        raise DataError(name, f"the labels are {found.dtype}, not numbers of classes", "Give whole numbers")
    return whole


def _digest(contents: Iterable[bytes | memoryview]) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content)
    return digest.hexdigest()


def _size(height_width: np.ndarray) -> str:
    return f"{height_width[1]}x{height_width[0]}"
