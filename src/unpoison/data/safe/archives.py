"""Archives read without unpacking them: paths, links and sizes are checked before any data."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from itertools import islice
from pathlib import Path, PurePosixPath

from unpoison.core.errors import DataError, UnsafeFileError
from unpoison.core.limits import UNPACKED_RATIO, UNPACKED_ROOM
from unpoison.data.safe.plain_files import open_plain

PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_REMEDY = "Fetch it again from its publisher, or unpack it by hand and check it"


def read_tar(path: Path, wanted: Callable[[PurePosixPath], bool], *, most: int | None = None) -> dict[str, bytes]:
    """Some files of a `.tar.gz`, in memory. Every member is checked, wanted or not.

    Args:
        path: the archive.
        wanted: whether to keep a member, by its path in the archive; asked of every file.
        most: how many bytes may be kept in all.

    Returns:
        Contents by the member's path.

    Raises:
        DataError: the archive is broken, or more would be kept.
        UnsafeFileError: a member leaves the archive, is a link or a device, or it unpacks to far too much.
    """
    found: dict[str, bytes] = {}
    kept = 0
    try:
        with (
            open_plain(path) as packed,
            gzip.open(packed) as unpacked,
            tarfile.open(fileobj=(bounded := _Bounded(unpacked, path)), mode="r|") as archive,
        ):
            for member in archive:
                check_member(path, member.name)
                if not (member.isfile() or member.isdir()) or member.issparse():
                    problem = "the member is a link, a device or a sparse file"
                    raise UnsafeFileError(path, problem, _REMEDY, record=member.name)
                name = PurePosixPath(member.name)
                if member.isfile() and wanted(name):
                    kept += member.size
                    if most is not None and kept > most:
                        raise DataError(path, f"it unpacks to over {most // 2**20} MiB", "Unpack it with tar -xzf")
                    file = archive.extractfile(member)
                    assert file is not None  # only what is no file has none
                    with file:
                        found[str(name)] = file.read()
            while bounded.read(2**20):  # to the very end, where gzip keeps its checksum
                pass
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError, OverflowError, RecursionError) as error:
        raise DataError(path, f"the archive is broken ({error})", "Fetch it again") from None
    return found


def first_names(path: Path, count: int) -> list[str]:
    """Paths of the first members of a `.tar.gz`; none if it is broken or looks like a bomb."""
    try:
        with (
            open_plain(path) as packed,
            gzip.open(packed) as unpacked,
            tarfile.open(fileobj=_Bounded(unpacked, path), mode="r|") as archive,
        ):
            return [member.name for member in islice(archive, count)]
    except (DataError, tarfile.TarError, OSError, EOFError, zlib.error, ValueError):
        return []


def is_zip(path: Path) -> bool:
    """Whether a file claims to be a zip, sound or broken."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return True


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip whose members are known to stay inside and not to unpack to far too much.

    Raises:
        DataError: the archive is broken.
        UnsafeFileError: as said.
    """
    open_plain(path).close()  # nothing but a file may be opened
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(path, f"this is not a zip archive, or it is broken ({error})", "Fetch it again") from None
    try:
        for member in archive.infolist():
            check_member(path, member.filename)
            if stat.S_ISLNK(member.external_attr >> 16):
                raise UnsafeFileError(path, "the member is a link", _REMEDY, record=member.filename)
            if member.compress_type not in PACKINGS:
                # Others take gigabytes for what their header says.
                problem = "the member is packed in an unusual way"
                raise UnsafeFileError(path, problem, "Pack it again, with deflate", record=member.filename)
        check_unpacked(path, sum(member.file_size for member in archive.infolist()))
    except UnsafeFileError:
        archive.close()
        raise
    return archive


def read_member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    """One member of an opened zip.

    Raises:
        DataError: it is missing, encrypted or broken.
    """
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, RuntimeError, ValueError) as error:
        raise DataError(path, f"the member is broken ({error})", "Fetch the file again", record=name) from None


def check_member(path: Path, name: str) -> None:
    """Refuse a member that would leave the folder it is unpacked to.

    Raises:
        UnsafeFileError: its path is absolute or goes upwards.
    """
    if name.startswith(("/", "\\")) or ":" in name or ".." in name.replace("\\", "/").split("/"):
        raise UnsafeFileError(path, "the member's path leaves the archive", _REMEDY, record=name)


def check_unpacked(path: Path, size: int) -> None:
    """Refuse an archive that unpacks to far more than its own size.

    Raises:
        UnsafeFileError: it looks like a bomb.
    """
    packed = path.stat().st_size
    if size > max(UNPACKED_ROOM, UNPACKED_RATIO * packed):
        raise UnsafeFileError(path, f"{packed} bytes claim to unpack to {size} or more, like a zip bomb", _REMEDY)


class _Bounded(io.RawIOBase):
    """Reads a stream and stops where it turns out to be a bomb, whatever the archive's headers say."""

    def __init__(self, stream: gzip.GzipFile, path: Path):
        self._stream, self._path, self._seen = stream, path, 0

    def read(self, size: int = -1) -> bytes:
        check_unpacked(self._path, self._seen + max(size, 0))
        data = self._stream.read(size)
        self._seen += len(data)
        return data
