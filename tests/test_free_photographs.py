"""The free photographs: the list and its credits, and what is read from packages and cut."""

from __future__ import annotations

import io
import json
import lzma
import runpy
import struct
import tarfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unpoison.core.errors import UnpoisonError

ROOT = Path(__file__).parents[1]
SCRIPT = runpy.run_path(str(ROOT / "benchmarks" / "free_photographs.py"))
LIST = json.loads((ROOT / "benchmarks" / "free_photographs.json").read_text(encoding="utf-8"))
FREE = {"public domain", "CC0-1.0", "CC-BY-2.0", "CC-BY-3.0", "CC-BY-4.0"}


def test_every_photograph_is_free_and_listed_once():
    photographs = LIST["photographs"]
    assert {one["licence"] for one in photographs} <= FREE
    assert all(one["author"] and one["source"].startswith("https://") for one in photographs)
    assert {one["package"] for one in photographs} == set(LIST["packages"])
    for once in ("sha256", "source"):
        shared = {"https://gitlab.com/ubports/development/core/lomiri-wallpapers"}
        shared.add("https://scikit-image.org/docs/stable/api/skimage.data.html")
        counts = Counter(one[once] for one in photographs)
        assert {value for value, count in counts.items() if count > 1} <= shared


def test_notice_credits_those_who_ask_for_it():
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    credited = [one for one in LIST["photographs"] if one["licence"].startswith("CC-BY")]
    for one in credited:
        assert one["author"] in notice
        assert one["source"] in notice
        assert Path(one.get("inside", one["path"])).stem in notice
        assert f"CC BY {one['licence'][-3:]}" in notice
    assert f"{len(LIST['photographs']) - len(credited)} are in the public domain or under CC0" in notice
    assert f"the other {len(credited)} under" in notice


def write_deb(path, files):
    packed = io.BytesIO()
    with lzma.open(packed, "w") as unpacked, tarfile.open(fileobj=unpacked, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    members = (("debian-binary", b"2.0"), ("data.tar.xz", packed.getvalue()))  # the first has an odd size
    with path.open("wb") as file:
        file.write(b"!<arch>\n")
        for name, content in members:
            file.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode())
            file.write(content + b"\n" * (len(content) % 2))


def resources(files):
    """A Qt resource file of one folder, `a`, the second file in it packed by zlib."""
    texts = ["", "a", *files]
    names, offsets = b"", []
    for text in texts:
        offsets.append(len(names))
        names += struct.pack(">HI", len(text), 0) + text.encode("utf-16-be")
    tree = struct.pack(">IHIIQ", 0, 2, 1, 1, 0) + struct.pack(">IHIIQ", offsets[1], 2, len(files), 2, 0)
    data = b""
    for row, content in enumerate(files.values()):
        tree += struct.pack(">IHIIQ", offsets[2 + row], row == 1, 0, len(data), 0)
        stored = struct.pack(">I", len(content)) + zlib.compress(content) if row == 1 else content
        data += struct.pack(">I", len(stored)) + stored
    at = 20
    head = struct.pack(">4s4I", b"qres", 3, at, at + len(tree), at + len(tree) + len(data))
    return head + tree + data + names


def test_what_is_read_from_a_package(tmp_path):
    inner = {"ä.webp": b"first", "b.webp": b"second" * 9}
    write_deb(tmp_path / "some_1_all.deb", {"usr/x.rcc": resources(inner), "usr/y": b"why"})
    found = SCRIPT["read_deb"](SCRIPT["find_package"](tmp_path, "some"), {"usr/x.rcc"})
    assert set(found) == {"usr/x.rcc"}
    assert SCRIPT["read_resources"](found["usr/x.rcc"]) == {f"a/{name}": value for name, value in inner.items()}


def test_what_is_missing_or_differs_is_refused(tmp_path):
    one = {"package": "some", "path": "usr/y", "sha256": "0" * 64}
    known = {"packages": {"some": {"version": "1"}}, "photographs": [one]}
    with pytest.raises(UnpoisonError, match="apt-get download some"):
        list(SCRIPT["read_photographs"](tmp_path, known))
    write_deb(tmp_path / "some_1_all.deb", {"usr/y": b"why"})
    with pytest.raises(UnpoisonError, match="is not the listed picture"):
        list(SCRIPT["read_photographs"](tmp_path, known))


def test_patches_are_the_same_each_time_and_avoid_empty_ground():
    pixels = np.full((300, 400, 3), 255, np.uint8)
    pixels[:, 150:] = np.random.default_rng(0).integers(256, size=(300, 250, 3))
    photograph = Image.fromarray(pixels)
    patches = SCRIPT["cut_patches"](photograph, 0)
    assert patches.shape == (96, 64, 64, 3)
    assert np.array_equal(patches, SCRIPT["cut_patches"](photograph, 0))
    assert not np.array_equal(patches, SCRIPT["cut_patches"](photograph, 1))
    assert np.mean(SCRIPT["measure_flat"](patches) > 0.9) < 0.05
