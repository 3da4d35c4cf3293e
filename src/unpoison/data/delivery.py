"""Delivery of a finished set: made in `<target>.partial`, and together with the files that belong to it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from unpoison.core.errors import DiskError, RunError
from unpoison.core.files import writing
from unpoison.core.targets import check_name, check_new
from unpoison.data.pictures.files import OWN_FILES

_LOCK = "assembly"
_ASSEMBLED = "assembled"
_REPLACED = "replaced"


def partial_of(target: Path) -> Path:
    """The folder in which work on a target lies until it is finished.

    Raises:
        RunError: the target has no name of its own, as `.` or an empty text.
    """
    check_name(target)
    return target.with_name(f"{target.name}.partial")


def refuse_existing(target: Path) -> None:
    """Refuse a target that is there already, or that cannot be made.

    Raises:
        RunError: there is something under this name, its folder may not be written, or it is no name.
    """
    folder = partial_of(target)
    if os.path.lexists(target) and folder.is_dir():
        with suppress(RunError), lock_in(folder, _take_at_once):
            _tidy(folder)  # what a process left that was killed after it had delivered
    check_new(target)


@contextmanager
def hold_place(target: Path) -> Iterator[Path]:
    """Be the only one that writes a new set, in a folder that is removed afterwards.

    Args:
        target: new folder or file.

    Yields:
        The folder, for `prepare_place` and `publish`.

    Raises:
        RunError: the target is there already, another process is writing it, or the disk is full.
    """
    folder = partial_of(target)
    refuse_existing(target)
    with lock_in(folder, _take_at_once):
        try:
            refuse_existing(target)  # another process may have been faster
            yield folder
        except DiskError as error:
            raise DiskError(folder, error.reason) from None
        finally:
            _tidy(folder)


@contextmanager
def lock_in(folder: Path, take: Callable[[Path], AbstractContextManager[object]]) -> Iterator[None]:
    """Be the only one that puts a set together in a folder, which is made if missing.

    Args:
        folder: of the unfinished set.
        take: how to come by the lock, given the path of its file.

    Raises:
        DiskError: the folder cannot be written.
    """
    lock = None
    with writing(folder):
        while lock is None:
            folder.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # whoever was first is through, and has just removed the folder
                lock = take(folder / _LOCK)
    with lock:
        yield


def prepare_place(folder: Path, target: Path) -> Path:
    """An empty place in the folder of an unfinished set, where it is put together under its final name."""
    remove_place(folder)
    with writing(folder):
        (folder / _ASSEMBLED).mkdir()
    return folder / _ASSEMBLED / target.name


def remove_place(folder: Path) -> None:
    """Remove what was being put together."""
    shutil.rmtree(folder / _ASSEMBLED, ignore_errors=True)


def publish(folder: Path, target: Path, files: Mapping[str, bytes], *, replace: bool = False) -> None:
    """Rename what was put together into place. Killed at any moment, nothing half-written lies at the target.

    Args:
        folder: of the unfinished set.
        target: the set's place.
        files: what belongs to the set, by name: inside a folder, `X.name` beside a file X.
        replace: put it in place of what is there.

    Raises:
        RunError: the target has appeared meanwhile.
        DiskError: the disk is full, or worse.
    """
    assembled = folder / _ASSEMBLED / target.name
    there = os.path.lexists(target)
    if there and not replace:
        raise RunError(f"{target} was made by somebody else meanwhile; remove it or choose another name")
    with writing(folder):
        beside = {} if assembled.is_dir() else files
        for name, content in files.items():
            _write((folder / _ASSEMBLED if beside else assembled) / name, content)
        for name in beside:  # before the set: none is ever without its manifest
            os.replace(folder / _ASSEMBLED / name, target.with_name(f"{target.name}.{name}"))
        if there and not target.is_dir():
            for name in OWN_FILES - set(beside):
                target.with_name(f"{target.name}.{name}").unlink(missing_ok=True)
        if there and (target.is_dir() or assembled.is_dir()):
            # A folder cannot take the place of another in one step; in between, both lie in the unfinished set's.
            shutil.rmtree(folder / _REPLACED, ignore_errors=True)
            (folder / _REPLACED).mkdir()
            os.rename(target, folder / _REPLACED / target.name)
        os.replace(assembled, target)


def _tidy(folder: Path) -> None:
    """Remove what was being put together, and the folder, unless an unfinished run lies there."""
    remove_place(folder)
    with suppress(OSError):
        if {path.name for path in folder.iterdir()} <= {_LOCK}:
            shutil.rmtree(folder)


def _write(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _take_at_once(path: Path) -> AbstractContextManager[object]:
    try:
        return FileLock(path).acquire(timeout=0)
    except Timeout:
        raise RunError(f"{path.parent} is being worked on by another process; wait for it, or stop it") from None
