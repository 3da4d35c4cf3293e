"""Errors for people: what was wrong, where, and what to do. All end a command with exit code 2."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from pathlib import PurePath
from types import ModuleType
from typing import Any

_SHOWN = 5  # bad pictures that are named
# Line ends, what could steer a terminal, and bytes of file names that are no text.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class UnpoisonError(Exception):
    """Base of every error a user can cause and mend; its text is one line.

    Args:
        text: what to tell; control characters, which strangers' names may hold, are shown as escapes.
    """

    def __init__(self, text: str):
        super().__init__(show_control(text))


class SettingsError(UnpoisonError):
    """A setting, flag or argument is wrong."""


class ModelError(UnpoisonError):
    """Weights or a model do not fit what they are used for."""


class RunError(UnpoisonError):
    """A run cannot start, go on or be resumed."""


class DiskError(RunError):
    """Something cannot be written.

    Args:
        place: file or folder that was written.
        reason: the system's word for it.
        kept: whether what is finished lies there for the next try.
    """

    def __init__(self, place: str | PurePath, reason: str, *, kept: bool = False):
        then = ": what is finished is kept" if kept else ""
        super().__init__(
            f"{place} cannot be written ({reason}); free space or correct the permissions there, "
            f"and give the same command again{then}"
        )
        self.place, self.reason, self.kept = str(place), reason, kept

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_disk_error, (self.place, self.reason, self.kept)


class DataError(UnpoisonError):
    """A file of an image set is bad.

    Args:
        file: name of the file, as the user knows it.
        problem: what is wrong, without a full stop.
        remedy: what the user can do.
        record: which record in the file (row, member, key), if it has several.
    """

    def __init__(self, file: str | PurePath, problem: str, remedy: str, *, record: object = None):
        self.file, self.problem, self.remedy, self.record = str(file), problem, remedy, record
        super().__init__(f"{self.place}: {problem}. {remedy}")

    @property
    def place(self) -> str:
        """The file, and which record in it."""
        return self.file if self.record is None else f"{self.file}, record {self.record}"

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are rebuilt from their message by default, which would lose the parts.
        return _rebuild, (type(self), self.file, self.problem, self.remedy, self.record)


def join_errors(name: str, errors: Sequence[DataError], remedy: str) -> DataError:
    """Several pictures of a set that cannot be read as one error; a single one stays as it is.

    Args:
        name: of the set.
        errors: one for each, at least one.
        remedy: what the user can do.
    """
    if len(errors) == 1:
        return DataError(errors[0].file, errors[0].problem, remedy, record=errors[0].record)
    shown = [f"{error.place} ({error.problem})" for error in errors[:_SHOWN]]
    more = [f"and {len(errors) - _SHOWN} more"] if len(errors) > _SHOWN else []
    return DataError(name, f"{len(errors)} pictures cannot be read: {', '.join([*shown, *more])}", remedy)


class UnsafeFileError(DataError):
    """A file asks for something that reading data must never do (run code, leave its folder, eat the memory)."""


class MissingExtraError(UnpoisonError):
    """An optional dependency is not installed."""


def _rebuild(kind: type[DataError], file: str, problem: str, remedy: str, record: object) -> DataError:
    return kind(file, problem, remedy, record=record)


def show_control(text: str) -> str:
    """A stranger's text as one harmless line: control characters are shown as escapes."""
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


def _rebuild_disk_error(place: str, reason: str, kept: bool) -> DiskError:
    return DiskError(place, reason, kept=kept)


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency, or say which install line brings it.

    Args:
        module: name to import, e.g. `pyarrow.parquet`.
        extra: extra of this package that holds it.
        purpose: what needs it, e.g. `reading parquet`.

    Raises:
        MissingExtraError: with the install line.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != module.split(".")[0]:
            raise
        raise MissingExtraError(
            f"{purpose} needs {module.split('.')[0]}: run  pip install 'unpoison[{extra}]'"
        ) from None
