"""Members of an uncompressed tar, and where they lie. Nothing is unpacked, and no header is believed."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from unpoison.core.errors import DataError, UnsafeFileError
from unpoison.data.safe.archives import check_member
from unpoison.data.safe.plain_files import open_plain

_BLOCK = tarfile.BLOCKSIZE
_HEADER_BYTES = 2**20  # of a long name or of extended fields, which `tarfile` reads in one piece
_PIECE = 2**20
_GZIP = b"\x1f\x8b"
_REMEDY = "Fetch it again from its publisher"


@dataclass(frozen=True)
class Member:
    """A file inside a tar.

    Args:
        name: its path in the archive, without `./`.
        offset: where its bytes begin.
        size: how many there are.
    """

    name: str
    offset: int
    size: int


def list_members(path: Path) -> Iterator[Member]:
    """The files of a tar, in order. Folders are passed over.

    Raises:
        DataError: the archive is compressed, broken or cut off.
        UnsafeFileError: a member leaves the archive, or is a link, a device or a sparse file.
    """
    open_plain(path).close()  # nothing but a file may be opened
    try:
        with _Headers(path) as file:
            if file.read(2) == _GZIP:
                raise DataError(path, "it is compressed", "Unpack it with gunzip: pictures do not pack any further")
            file.seek(0)
            yield from _walk(path, file)
    except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(path, f"this is not a tar archive, or it is broken ({reason})", _REMEDY) from None


def read_bytes(path: Path, offset: int, size: int) -> bytes:
    """Some bytes of a file.

    Raises:
        DataError: it cannot be read, or ends before them.
    """
    try:
        with open_plain(path) as file:
            file.seek(offset)
            data = file.read(size)
    except OSError as error:
        raise DataError(path, f"the file cannot be read ({error.strerror})", "Check it and its permissions") from None
    if len(data) < size:
        raise DataError(path, f"the archive was cut off before byte {offset + size}", _REMEDY)
    return data


def _walk(path: Path, file: io.FileIO) -> Iterator[Member]:
    with tarfile.open(fileobj=file, mode="r:") as archive:
        end = 0
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # else a large shard fills the memory with them
            _check(path, member, end)
            end = member.offset_data
            if member.isfile():
                end += member.size
                yield Member(PurePosixPath(member.name).as_posix(), member.offset_data, member.size)
        _check_end(path, file, archive.offset)


def _check(path: Path, member: tarfile.TarInfo, end: int) -> None:
    check_member(path, member.name)
    if not (member.isfile() or member.isdir()) or member.issparse():
        raise UnsafeFileError(path, "the member is a link, a device or a sparse file", _REMEDY, record=member.name)
    if member.size < 0 or member.offset < end:  # would read the same headers for ever
        raise UnsafeFileError(path, "the member's size is impossible", _REMEDY, record=member.name)


def _check_end(path: Path, file: io.FileIO, offset: int) -> None:
    """After the last member there are zeros and nothing else; `tarfile` also stops at broken headers, silently."""
    file.seek(offset)
    seen = 0
    while piece := file.read(_PIECE):
        if piece.strip(b"\0"):
            raise DataError(path, f"the archive is broken at byte {offset + seen}", _REMEDY)
        seen += len(piece)
    if seen < _BLOCK:
        raise DataError(path, "the archive has no end, so it was cut off", _REMEDY)


class _Headers(io.FileIO):
    """Refuses the long reads that a header which lies about its size would cause."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _HEADER_BYTES:
            raise ValueError("a header of impossible size")
        return super().read(size)
