"""Hugging Face's `datasets.Dataset` as an image set, and back."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from unpoison.core.errors import DataError, SettingsError, require
from unpoison.core.images import ImageSet
from unpoison.core.limits import PICTURE_BYTES
from unpoison.core.picture import Picture
from unpoison.data.formats.parquet_shards import RowGroup
from unpoison.data.formats.picture_table import IMAGE_COLUMNS, LABEL_COLUMNS
from unpoison.data.formats.table_columns import TableColumns
from unpoison.data.labels import Labels, read_labels
from unpoison.data.pictures.codec import decode, measure
from unpoison.data.safe.plain_files import read_plain
from unpoison.data.stored_names import choose_ids

_BATCH = 256
_NAME = "Dataset"
_REMEDY = "Store the picture itself, as Dataset.save_to_disk does"


class HuggingFaceImageSet(ImageSet):
    """The pictures of a `Dataset`, decoded on demand by our own decoder, so that they are what a file of it gives.

    The id is the stored file name without extension where every picture has one of its own, else the row. Without a
    column of labels all are unknown.

    Args:
        dataset: with one column of the feature `Image`, or one of several called `image` or `img`.

    Raises:
        SettingsError: there is no such column.
    """

    format = "huggingface"

    def __init__(self, dataset: Any):
        self.column = image_column(dataset)
        undecoded = _datasets().Image(decode=False)
        self._rows = dataset.with_format(None).select_columns([self.column]).cast_column(self.column, undecoded)
        paths: list[str | None] = []
        sizes: list[tuple[int, int]] = []
        for start in range(0, len(dataset), _BATCH):
            stored = self._rows[start : start + _BATCH][self.column]
            paths += [picture["path"] if picture else None for picture in stored]
            sizes += [_measure(picture) for picture in stored]
        column, labels = _labels(dataset)
        ids, notes = choose_ids([path and os.path.splitext(path)[0] for path in paths])
        super().__init__(_NAME, ids, labels.numbers, labels.class_names, np.array(sizes, np.int32))
        self.columns = TableColumns(_DatasetTables(dataset), self.column, column)
        self.notes = notes + labels.notes

    def picture(self, index: int) -> Picture:
        return decode(_bytes(self._rows[int(index)][self.column], index), _NAME, record=index)

    def stamp(self, rows: range) -> str:
        digest = hashlib.sha256()
        for stored in self._rows[rows.start : rows.stop][self.column]:
            try:
                digest.update(hashlib.sha256(_bytes(stored, 0)).digest())
            except DataError:
                digest.update(b"none")  # `picture` will say why
        return digest.hexdigest()


def image_column(dataset: Any) -> str:
    """Name of the column that holds the pictures.

    Raises:
        SettingsError: there is none, or none of several is called `image` or `img`.
    """
    kind = _datasets().Image
    columns = [name for name, feature in dataset.features.items() if isinstance(feature, kind)]
    chosen = columns if len(columns) == 1 else [name for name in IMAGE_COLUMNS if name in columns]
    if not chosen:
        raise SettingsError(
            f"the Dataset has {len(columns)} columns of pictures among {', '.join(dataset.features)}; "
            "cast one with cast_column('image', datasets.Image()), or select one"
        )
    return chosen[0]


class _DatasetTables:
    """A Dataset's rows, group by group. Satisfies `Tables`, but for the files, of which there are none."""

    def __init__(self, dataset: Any):
        self._rows = dataset.with_format("arrow")
        self.paths = [Path(_NAME)]
        self.rows = len(dataset)
        self.schemas = [dataset.features.arrow_schema]
        starts = range(0, self.rows, _BATCH)
        self.groups = [
            RowGroup(0, number, start, min(_BATCH, self.rows - start)) for number, start in enumerate(starts)
        ]

    def column(self, group: RowGroup, name: str) -> Any:
        """One column of a group, as an arrow array."""
        rows = self._rows.select_columns([name])[group.start : group.start + group.rows]
        return rows.column(name).combine_chunks()


def replace_pictures(dataset: Any, pictures: Iterable[bytes], ids: Iterable[str]) -> Any:
    """The same Dataset with other pictures; all other columns, their order, their features and the format stay.

    Args:
        dataset: the Dataset.
        pictures: one file per row, such as a PNG.
        ids: one per row; stored as the pictures' file names.
    """
    pa = require("pyarrow", extra="datasets", purpose="writing a Dataset")
    column = image_column(dataset)
    stored = [{"bytes": picture, "path": f"{image_id}.png"} for picture, image_id in zip(pictures, ids, strict=True)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    order, form = dataset.column_names, dataset.format
    new = f"{column} of unpoison"  # added first: a Dataset without any column has no rows either
    joined = dataset.with_format(None).add_column(new, pa.array(stored, kind)).remove_columns(column)
    joined = joined.rename_column(new, column).cast_column(column, dataset.features[column])
    return joined.select_columns(order).with_format(
        form["type"], columns=form["columns"], output_all_columns=form["output_all_columns"], **form["format_kwargs"]
    )


def _labels(dataset: Any) -> tuple[str | None, Labels]:
    features = dataset.features
    named = [name for name, feature in features.items() if isinstance(feature, _datasets().ClassLabel)]
    column = next((name for name in (*LABEL_COLUMNS, *named) if name in features), None)
    if column is None:
        return None, Labels(np.full(len(dataset), -1), [])
    names = list(features[column].names) if column in named else None
    return column, read_labels(Path(_NAME), dataset.with_format(None)[column], class_names=names)


def _bytes(stored: dict[str, Any] | None, row: int) -> bytes:
    """The picture's file; rows that only name one are read from the disk, as `datasets` does."""
    stored = stored or {}
    embedded: bytes | None = stored.get("bytes")
    if embedded is not None:
        return embedded
    try:
        return read_plain(Path(stored["path"]), PICTURE_BYTES)
    except (KeyError, TypeError, ValueError, DataError) as error:
        why = error.problem if isinstance(error, DataError) else "no file is there"
        raise DataError(_NAME, f"the picture is not embedded, and {why}", _REMEDY, record=row) from None


def _measure(stored: dict[str, Any] | None) -> tuple[int, int]:
    try:
        return measure(_bytes(stored, 0), _NAME)
    except DataError:
        return 0, 0  # `picture` will say why


def _datasets() -> Any:
    return require("datasets", extra="datasets", purpose="reading a Dataset")
