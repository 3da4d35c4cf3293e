"""The cache of a suite: what trials need is made once, and lies under the hash of what it was made from.

Several processes may share the folder: whoever comes first makes a thing, the others get `Busy` and do something else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from filelock import FileLock, Timeout

from unpoison.core.errors import DataError, RunError
from unpoison.core.hashing import hash_json
from unpoison.core.images import ImageSet
from unpoison.core.manifest import manifest_path, read_manifest
from unpoison.core.progress import write_line
from unpoison.data import read

T = TypeVar("T")

_HELD_SETS = 4  # in memory at once: poisoned, purified, and the clean set purified in the same way


class Busy(Exception):
    """Another process is making this just now."""


@dataclass(frozen=True)
class Made(Generic[T]):
    """A set, a model's file or a classifier, with what went into it.

    Args:
        get: reads it; what a trial does not look at is never read.
        digest: content hash, or sha256 of the weights.
        settings: every setting that it was made with.
        seconds: time to make it; 0 if it was there.
        manifest: of a set that was made.
    """

    get: Callable[[], T]
    digest: str
    settings: dict[str, Any]
    seconds: float
    manifest: Path | None = None

    @property
    def value(self) -> T:
        """The thing itself."""
        return self.get()


class Cache:
    """A folder of things that were made.

    Args:
        folder: may be deleted at any time.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._digests: dict[Path, str] = {}  # of what this run has made, or found, once
        self._held: dict[Path, ImageSet] = {}  # the sets that were read last

    def ensure(self, path: Path, find: Callable[[], str | None], make: Callable[[], None]) -> tuple[str, float]:
        """Make a thing unless it is there. It is looked for once in a run, and trusted from then on.

        Args:
            path: where it lies.
            find: gives its digest, None if it is not there whole.
            make: puts it there.

        Returns:
            Its digest, and the seconds that making it took.

        Raises:
            Busy: another process is making it.
            RunError: it is gone again.
        """
        if path not in self._digests and (digest := find()) is not None:
            self._digests[path] = digest
        if path in self._digests:
            return self._digests[path], 0.0
        seconds = 0.0
        with self.claim(_claim_of(path)):
            digest = find()  # another process may have made it meanwhile
            if digest is None:
                started = time.perf_counter()
                make()
                seconds = time.perf_counter() - started
                digest = find()
            if digest is None:
                raise RunError(f"{path} is gone as soon as it was made; is another program clearing {self.folder}?")
            self._digests[path] = digest
        return digest, seconds

    def make_set(self, asked: dict[str, Any], source: str, make: Callable[[Path], None]) -> Made[ImageSet]:
        """A set that is made of another one.

        Args:
            asked: every setting that it is made with.
            source: content hash of the other one.
            make: writes it, with its manifest, to a path.
        """
        path = self.folder / "sets" / f"{hash_json([source, asked])[:16]}.npz"

        def make_anew() -> None:
            if path.exists():
                write_line(f"unpoison: {path} is damaged or was changed, and is made again")
                path.unlink()
            make(path)

        digest, seconds = self.ensure(path, partial(_told_hash, path), make_anew)
        return Made(partial(self._read, path, make_anew), digest, asked, seconds, manifest_path(path))

    @contextmanager
    def claim(self, name: str) -> Iterator[None]:
        """Hold a thing against other processes; the claim of a process that died is void.

        Raises:
            Busy: another process holds it.
        """
        locks = self.folder / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        # Names of attacks and defences are the suite's, and may be anything.
        lock = FileLock(locks / hash_json(name)[:16], timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise Busy(name) from None
        try:
            yield
        finally:
            lock.release()

    def _read(self, path: Path, make_anew: Callable[[], None]) -> ImageSet:
        """A set of the folder, made again if it is not the one that its manifest tells of.

        Its pixels are looked at here, once they are needed: a trial that has its record needs the manifest alone.
        """
        if path not in self._held:
            found = self._whole(path)
            if found is None:
                with self.claim(_claim_of(path)):
                    make_anew()
                found = self._whole(path)
            if found is None:
                raise RunError(f"{path} came out other than before; delete {self.folder} and run the suite again")
            self._held[path] = found
            if len(self._held) > _HELD_SETS:  # several cells in a row need the same ones
                del self._held[next(iter(self._held))]
        return self._held[path]

    def _whole(self, path: Path) -> ImageSet | None:
        """A set with the content that this run takes it to have; None if it is another, or damaged."""
        try:
            found = read(path)
            return found if found.content_hash == self._digests[path] else None
        except DataError:
            return None


def _told_hash(path: Path) -> str | None:
    """Content hash of a set by its manifest; None if one of the two is missing."""
    try:
        return read_manifest(manifest_path(path)).steps[-1].result if path.exists() else None
    except DataError:
        return None


def _claim_of(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"
