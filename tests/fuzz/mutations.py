"""Changes to files: blind ones, and ones that keep checksums and packing right, so that what lies inside is reached."""

from __future__ import annotations

import gzip
import io
import random
import re
import zipfile
import zlib

_BYTES = (0, 1, 0x7F, 0x80, 0xFF)
_NUMBERS = (0, -1, 1, 255, 2**16, 10**6, 10**9, 2**31 - 1, 2**31, 2**32, 2**38, 2**62, 2**63 - 1, 2**63, 2**64, 10**30)
_TEXTS = (b"", b"\n", b"\x9b", b"\xff", b"NaN", b"null", b"[" * 3000, b"../../x", b"\xed\xb2\x80", b"{}", b"-", b"#")
_DIGITS = re.compile(rb"\d+")
_MOST = 4 * 2**20  # bytes of a mutated file


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Another file that may be broken in any way; the same generator gives the same file."""
    inside = rng.random() < 0.7
    if inside and data[:4] == b"PK\x03\x04":
        return _in_zip(data, rng)
    if inside and data[:2] == b"\x1f\x8b":
        return gzip.compress(_blindly(gzip.decompress(data), rng), 1)
    if inside and data[:4] == b"\x89PNG":
        return _with_checksums(_blindly(data, rng))
    return _blindly(data, rng)


def _blindly(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        if not changed:
            break
        # Headers are near the beginning or the end.
        at = rng.randrange(len(changed))
        if rng.random() < 0.5:
            at = rng.choice((at % 256, len(changed) - 1 - at % 256)) % len(changed)
        _change(changed, at, rng)
    return bytes(changed[:_MOST])


def _change(data: bytearray, at: int, rng: random.Random) -> None:
    kind = rng.randrange(9)
    span = slice(at, at + rng.choice((1, 4, 16, 300)))
    if kind == 0:
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[at] = rng.choice(_BYTES)
    elif kind == 2:
        size = rng.choice((2, 4, 8))
        number = rng.choice(_NUMBERS) % 256**size
        data[at : at + size] = number.to_bytes(size, rng.choice(("little", "big")))
    elif kind == 3:
        del data[at:]
    elif kind == 4:
        del data[span]
    elif kind == 5:
        data[at:at] = bytes(data[span]) * rng.choice((1, 2, 500))
    elif kind == 6:
        data[at:at] = rng.choice((rng.randbytes(8), *_TEXTS))
    elif kind == 7:
        elsewhere = rng.randrange(len(data))
        data[at:at] = data[elsewhere : elsewhere + 64]
    else:
        found = list(_DIGITS.finditer(data[at : at + 4000]))[:40]
        if found:
            match = rng.choice(found)
            data[at + match.start() : at + match.end()] = str(rng.choice(_NUMBERS)).encode()


def _in_zip(data: bytes, rng: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    likely = [name for name in members if name.endswith("data.pkl")] or list(members)
    name = rng.choice(likely if rng.random() < 0.5 else list(members))
    members[name] = _blindly(members[name], rng)
    file = io.BytesIO()
    packing = zipfile.ZIP_DEFLATED if rng.random() < 0.2 else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", packing) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return file.getvalue()


def _with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks have the right checksums, as far as its chunks can be followed."""
    fixed, at = bytearray(data), 8
    while at + 12 <= len(fixed):
        end = at + 8 + int.from_bytes(fixed[at : at + 4], "big")
        if end + 4 > len(fixed):
            break
        fixed[end : end + 4] = zlib.crc32(fixed[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(fixed)
