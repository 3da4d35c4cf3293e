"""A set large enough for several blocks, and runs that stop where a test wants it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from unpoison.core.hashing import hash_file
from unpoison.data import write
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.run import PurifyRun


@pytest.fixture
def jpeg() -> PurifyRun:
    return PurifyRun(purifier_settings("jpeg"))


@pytest.fixture
def source(make_set, tmp_path) -> Path:
    """A folder of 1100 pictures: blocks 0 to 4."""
    write(make_set(1100, side=8), tmp_path / "in")
    return tmp_path / "in"


@pytest.fixture
def tree() -> Callable[[Path], dict[str, str]]:
    """Path and hash of every file below a folder."""

    def hash_tree(folder: Path) -> dict[str, str]:
        return {str(path.relative_to(folder)): hash_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}

    return hash_tree


class Halt(Exception):
    """Raised by a test in the middle of a run."""


@pytest.fixture
def halt_after() -> Callable[[int], Callable]:
    """Makes an `on_step` that stops a run once so many images are done."""

    def make(images: int):
        def on_step(info):
            if info.step >= images and not info.doing:  # not while a purifier looks at the whole set
                raise Halt

        return on_step

    return make
