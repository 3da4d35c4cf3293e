"""The base of all writers: in order, under a temporary name, renamed when complete."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from unpoison.core.errors import DataError, RunError, SettingsError, show_control
from unpoison.core.files import is_inside, writing
from unpoison.core.images import ImageSet
from unpoison.core.limits import NAME_BYTES, PATH_BYTES
from unpoison.core.notes import Note, tell
from unpoison.data.pictures.codec import encode


class Writer(ABC):
    """Writes one set, picture by picture, to `.<name>.tmp` beside the target, and renames it at the end.

    As a context manager it closes on success and removes what it wrote on error.

    Args:
        target: file or folder to make.
        source: set whose ids, labels, class names and sizes are written; its pictures are not read.

    Raises:
        RunError: the target exists already, or the disk is full.
        SettingsError: it lies in the folder that is read.
        DataError: the set cannot be stored in this format.

    Attributes:
        stores_png: whether pictures are stored as PNG, so that `add` takes them in that form too.
        holds_columns: whether a set's further columns are written too.
        notes: once it is closed, what the format could not hold and was left out.
    """

    stores_png = False
    holds_columns = False
    notes: tuple[Note, ...] = ()

    def __init__(self, target: Path, source: ImageSet):
        if os.path.lexists(target):
            raise RunError(f"{target} is already there; remove it or choose another name")
        self.check(target, source)
        self.target, self.source = target, source
        self.temporary = target.with_name(f".{target.name}.tmp")
        self._rows = 0
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _remove(self.temporary)  # what a killed run left
            try:
                self._begin()
            except BaseException:
                self.abort()
                raise

    @classmethod
    def check(cls, target: Path, source: ImageSet) -> None:
        """Refuse what cannot be written, before anything is computed for it. Nothing is made.

        Raises:
            SettingsError: the target lies in the folder that is read.
            DataError: the set cannot be stored in this format.
        """
        if source.folder is not None and is_inside(target, source.folder):
            raise SettingsError(
                f"{target} lies in {source.folder}, and would be a part of that set when it is read again; "
                "name a target outside"
            )

    def add(self, indices: Sequence[int] | np.ndarray, pictures: Sequence[np.ndarray | bytes]) -> None:
        """Store the next pictures.

        Args:
            indices: rows of the source, going on where the last call ended.
            pictures: per row [H, W, C] uint8 with C of 1 (grey), 2 (grey, alpha), 3 (colour) or 4 (colour, alpha); or,
                where the format `stores_png`, what `encode` made of it.
        """
        for index, picture in zip(indices, pictures, strict=True):
            if index != self._rows:
                raise ValueError(f"pictures must come in order: row {self._rows} is next, got {index}")
            ready = encode(picture) if self.stores_png and not isinstance(picture, bytes) else picture
            with writing(self.target):
                self._store(self._rows, ready)
            self._rows += 1

    def close(self) -> None:
        """Finish and rename into place.

        Raises:
            RunError: pictures are missing, the target has appeared meanwhile, or the disk is full; nothing is left.
        """
        try:
            if self._rows != len(self.source):
                raise RunError(f"{self.target}: only {self._rows} of {len(self.source)} pictures were written")
            with writing(self.target):
                self._finish()
                if os.path.lexists(self.target):
                    raise RunError(f"{self.target} was made by somebody else meanwhile; name a new target")
                os.rename(self.temporary, self.target)
            if self.source.columns is not None and self.source.columns.names and not self.holds_columns:
                what = "columns that this format cannot hold, left out; .parquet keeps them"
                self.notes += (Note.of(what, self.source.columns.names),)
            tell(self.target.name, self.notes)
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Remove what was written."""
        with suppress(OSError):  # a full disk does not take what is still in buffers, and nobody wants it
            self._release()
        _remove(self.temporary)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    @abstractmethod
    def _begin(self) -> None:
        """Create the temporary file or folder."""

    @abstractmethod
    def _store(self, row: int, picture: Any) -> None:
        """Store one picture: a PNG if the format `stores_png`, else [H, W, C]."""

    def _finish(self) -> None:  # noqa: B027 - most formats have nothing to do
        """Write what comes after the pictures and close the file."""

    def _release(self) -> None:  # noqa: B027 - most formats have nothing to do
        """Close what is open, without finishing it."""


def check_name(source: ImageSet, name: str, what: str) -> str:
    """A stranger's id or class name, once it is known to be safe as a path below a folder.

    Raises:
        DataError: it would leave the folder or cannot be a file name.
    """
    if not is_path(name):
        raise DataError(
            source.name, f"the {what} '{name[:80]}' cannot be a path", "Rename it, or write .npz or .parquet"
        )
    return name


def is_path(name: str) -> bool:
    """Whether a stranger's name is safe as a path below a folder, on any system, and as a line of text."""
    parts = name.split("/")
    encoded = [len(part.encode(errors="surrogateescape")) for part in parts]
    return (
        not set("\\:") & set(name)
        and show_control(name) == name
        and all(parts)
        and not {".", ".."} & set(parts)
        and max(encoded) <= NAME_BYTES
        and sum(encoded) <= PATH_BYTES
    )


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
