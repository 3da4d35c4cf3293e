"""Runs that share their work: which part does which blocks, and who may work in the folder at the same time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from unpoison.core.errors import RunError, SettingsError
from unpoison.core.files import writing
from unpoison.core.locks import wait_for_lock
from unpoison.data.delivery import lock_in


@dataclass(frozen=True)
class Part:
    """One of several runs that share the blocks of a set.

    Args:
        number: which, from 1.
        count: how many there are; 1 for a run that does everything.
    """

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Part:
        """`2/3` to a part.

        Raises:
            SettingsError: it is no such thing.

        >>> Part.parse("2/3")
        Part(number=2, count=3)
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise SettingsError(f"part '{text}' is not of the form i/n with i from 1 to n, as in 2/3")
        return cls(int(match[1]), int(match[2]))

    def owns(self, block: int) -> bool:
        """Whether this part does a block."""
        return block % self.count == self.number - 1

    @property
    def suffix(self) -> str:
        """What tells its files in the folder from those of the others."""
        return "" if self.count == 1 else f".{self.number}-of-{self.count}"

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


@contextmanager
def hold_part(folder: Path, part: Part) -> Iterator[None]:
    """Keep others from doing the same blocks.

    Parts of one split work side by side; a part and the whole run, or parts of two splits, do not. The lock of a
    process that died is void.

    Raises:
        RunError: somebody is at it.
    """
    own_name = f"lock{part.suffix}"
    own = FileLock(folder / own_name, timeout=0)
    with writing(folder, kept=True):
        try:
            with wait_for_lock(folder / "gate"):  # else two that begin at once would not see each other
                for path in sorted(folder.glob("lock*")):
                    if not _side_by_side(path, part) and path.is_file() and _is_held(path):
                        raise _busy(folder, path.name)
                own.acquire()
        except Timeout:
            raise _busy(folder, own_name) from None
    try:
        yield
    finally:
        own.release()


def hold_assembly(folder: Path) -> AbstractContextManager[object]:
    """Wait for whoever assembles the set, and keep others from it."""
    return lock_in(folder, wait_for_lock)


def _side_by_side(path: Path, part: Part) -> bool:
    return part.count > 1 and path.name.endswith(f"-of-{part.count}") and path.name != f"lock{part.suffix}"


def _is_held(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def _busy(folder: Path, lock: str) -> RunError:
    part = lock.removeprefix("lock").removeprefix(".").replace("-of-", "/")
    who = f"another process (part {part})" if part else "another process"
    return RunError(f"{folder} is being worked on by {who}; wait for it, or stop it")
