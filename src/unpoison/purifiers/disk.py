"""What an error of the disk means for a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unpoison.core.errors import RunError


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn an error of the disk into one line for people.

    Args:
        folder: where is written.

    Raises:
        RunError: in place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise RunError(
            f"{folder} cannot be written ({reason}); free space or correct the permissions there, "
            "and give the same command again: what is finished is kept"
        ) from None
