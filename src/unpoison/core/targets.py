"""Checks that a file or folder can be made, before anything is computed for it."""

from __future__ import annotations

import os
from pathlib import Path

from unpoison.core.errors import RunError


def check_new(target: Path) -> None:
    """Whether a target can be made where nothing is yet.

    Raises:
        RunError: it is there already, or cannot be made.
    """
    check_name(target)
    if os.path.lexists(target):
        raise RunError(f"{target} is already there; remove it or choose another name")
    check_place(target)


def check_file(target: Path, *, example: str) -> None:
    """Whether a file can be written; one that is there is replaced.

    Args:
        target: the file.
        example: what to call it in a folder, for the message.

    Raises:
        RunError: it is a folder, or cannot be written.
    """
    if target.is_dir():
        raise RunError(f"{target} is a folder; name a file, such as {target / example}")
    check_place(target)


def check_name(target: Path) -> None:
    """Whether a target has a name of its own.

    Raises:
        RunError: no: it is `.`, `/`, empty or ends with `..`.
    """
    if target.name in ("", ".."):
        raise RunError(f"'{target}' names no new folder or file; give what is to be made a name, as in ./purified")


def check_place(target: Path) -> None:
    """Whether something can be made at a path; its folders need not be there yet.

    Raises:
        RunError: no.
    """
    check_name(target)
    place = Path(os.path.abspath(target)).parent
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise RunError(f"{target} cannot be made: {place} is no folder; choose another place")
    if not os.access(place, os.W_OK | os.X_OK):
        raise RunError(f"{target} cannot be made: the folder {place} may not be written; choose another place")
