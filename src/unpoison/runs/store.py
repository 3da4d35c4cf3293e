"""The folder of an unfinished run: its block files, and the journals that say which of them are good."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections import defaultdict
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from unpoison.core.documents import read_json
from unpoison.core.errors import RunError
from unpoison.core.files import atomic_path, write_json, writing
from unpoison.core.hashing import hash_file
from unpoison.core.locks import wait_for_lock
from unpoison.runs.blocks import Block, pack, unpack
from unpoison.runs.journal import Journal, read_journal
from unpoison.runs.parts import Part


@dataclass(frozen=True)
class Saved:
    """What a journal says of a block.

    Args:
        block: its number.
        sha256: of its file.
        stamp: of the stored pictures that it was made from.
    """

    block: int
    sha256: str
    stamp: str


_SAVED = TypeAdapter(Saved)
_JOURNAL = re.compile(r"journal(\.\d+-of-\d+)?")
# Entries of the header that tell of the machine, not of what was asked.
MACHINE = frozenset({"device", "processor", "versions"})


class Store:
    """Block files with one journal to write and all journals to read.

    As a context manager it closes the journal.

    Args:
        folder: where they lie.
        part: whose journal is written.
        header: what must be the same in all journals.

    Raises:
        RunError: the folder belongs to another run, or cannot be written.
    """

    def __init__(self, folder: Path, part: Part, header: dict[str, Any]):
        self.folder, self._header = folder, header
        with writing(folder, kept=True):
            self._journal = Journal(folder / f"journal{part.suffix}")
        try:
            self.reload()
            if not self._journal.entries:
                with writing(folder, kept=True):
                    self._journal.append(header)
        except BaseException:
            self._journal.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.close()

    def reload(self) -> None:
        """Read what all parts have done so far.

        Raises:
            RunError: a journal is of another run.
        """
        self._saved: dict[int, list[Saved]] = defaultdict(list)
        for path in _journals(self.folder):
            entries = read_journal(path)
            if entries:
                self._check_header(entries[0])
            for entry in entries[1:]:
                if entry != entries[0]:  # two writers on a disk without locks have both begun it
                    saved = _parse(path, entry)
                    self._saved[saved.block].append(saved)

    def save(self, number: int, stamp: str, block: Block) -> Saved:
        """Write a block and journal it."""
        saved = write_block(self.folder, number, stamp, block)
        self.record(saved)
        return saved

    def record(self, saved: Saved) -> None:
        """Journal a block that is written.

        Raises:
            RunError: the disk is full, or worse.
        """
        with writing(self.folder, kept=True):
            self._journal.append(asdict(saved))
        self._saved[saved.block].append(saved)

    def record_written(self, saved: Saved) -> None:
        """Journal a block that a worker has written elsewhere, once its file is seen to be what the worker says.

        Raises:
            RunError: it is not; what the worker writes is not what this process reads.
        """
        path = _block_file(self.folder, saved.block)
        if not path.is_file() or hash_file(path) != saved.sha256:
            raise RunError(f"{path} is not what a worker wrote; do all machines see the same {self.folder}?")
        self.record(saved)

    def is_recorded(self, number: int) -> bool:
        """Whether a block was finished by anybody, and its file is there."""
        return number in self._saved and _block_file(self.folder, number).is_file()

    def read(self, number: int) -> Block | None:
        """A finished block; None if its file is missing, or is not what was journalled."""
        try:
            packed = _block_file(self.folder, number).read_bytes()
        except FileNotFoundError:
            return None
        digest = hashlib.sha256(packed).hexdigest()
        # A block that was made again is in the journals twice; the file says which entry holds.
        return unpack(packed) if any(saved.sha256 == digest for saved in self._saved[number]) else None

    def discard(self, number: int) -> None:
        """Remove a block's file, so that any run, whole or in parts, makes it again."""
        with writing(self.folder, kept=True):
            _block_file(self.folder, number).unlink(missing_ok=True)

    def _check_header(self, found: dict[str, Any]) -> None:
        different = sorted(key for key in self._header if found.get(key) != self._header[key])
        anew = "or remove the folder to begin anew"
        if different == ["seed"]:
            raise RunError(
                f"{self.folder} holds an unfinished run with seed {found.get('seed')}; leave --seed out to go on "
                f"with it, {anew}"
            )
        if different == ["source"]:
            raise RunError(
                f"{self.folder} holds an unfinished run that began with other pictures: since then some were added, "
                f"removed, renamed or resized. Bring them back, {anew}"
            )
        if different == ["prepared"]:
            raise RunError(
                f"{self.folder} holds an unfinished run that looked at other pictures before it began: since then some "
                f"were changed. Bring them back, {anew}"
            )
        if different and not set(different) - MACHINE:
            then, now = (
                ", ".join(f"{key} {_in_words(header.get(key))}" for key in different)
                for header in (found, self._header)
            )
            raise RunError(
                f"{self.folder} holds a run that began with {then}; with {now} other bytes would come out. "
                f"Go on where it began, {anew}"
            )
        if different:
            raise RunError(
                f"{self.folder} holds an unfinished run with other {', '.join(different)}; "
                "give that run's command again to finish it, or remove the folder"
            )


def share_seed(folder: Path, seed: int) -> int:
    """The seed of all parts of a run for which none was asked: that of the part that comes first.

    Args:
        folder: where the parts meet.
        seed: of this one.
    """
    path = folder / "seed.json"
    with writing(folder, kept=True):
        lock = wait_for_lock(folder / "seed")
    with lock:
        with suppress(OSError, ValueError):
            kept = read_json(path)
            if type(kept) is int:
                return kept
        with writing(folder, kept=True):
            write_json(path, seed)
    return seed


def read_header(folder: Path) -> dict[str, Any] | None:
    """What the run in a folder began with; None if none has."""
    first = (entries[0] for path in _journals(folder) if (entries := read_journal(path)))
    return next(first, None)


def _journals(folder: Path) -> list[Path]:
    """The journals of all parts; a copy that somebody made of one has another name."""
    return sorted(path for path in folder.glob("journal*") if _JOURNAL.fullmatch(path.name) and path.is_file())


def _parse(path: Path, entry: dict[str, Any]) -> Saved:
    try:
        return _SAVED.validate_python(entry)
    except ValidationError:
        raise RunError(f"{path} holds a line that tells of no block; remove {path.parent} to begin anew") from None


def _in_words(value: Any) -> str:
    return " ".join(f"{name} {text}" for name, text in value.items()) if isinstance(value, dict) else str(value)


def write_block(folder: Path, number: int, stamp: str, block: Block) -> Saved:
    """Write a block in one piece.

    Raises:
        RunError: the disk is full, or worse.
    """
    packed = pack(block)
    with writing(folder, kept=True), atomic_path(_block_file(folder, number)) as temporary:
        temporary.write_bytes(packed)
    return Saved(number, hashlib.sha256(packed).hexdigest(), stamp)


def begun(folder: Path) -> tuple[dict[str, Any], int | None]:
    """Settings and seed of the unfinished run in a folder, as its journal has them; none if there is no such run."""
    header = read_header(folder) or {}
    settings, seed = header.get("settings"), header.get("seed")
    return settings if isinstance(settings, dict) else {}, seed if type(seed) is int else None


def has_blocks(folder: Path) -> bool:
    """Whether there is anything that a resumed run could use."""
    return any(folder.glob("*.npz"))


def remove(folder: Path) -> None:
    """Remove the folder of a run; another part may be doing the same."""
    shutil.rmtree(folder, ignore_errors=True)


def _block_file(folder: Path, number: int) -> Path:
    return folder / f"{number:08d}.npz"
