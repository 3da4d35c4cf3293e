from __future__ import annotations

import gzip
import io
import json
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.conftest import assert_one_line, png_bytes
from unpoison.core.errors import DataError, SettingsError, UnpoisonError, UnsafeFileError
from unpoison.core.notes import DataWarning
from unpoison.data import detect_format, read, set_bad_aside, write


def write_tar(path, members, format=tarfile.PAX_FORMAT):
    """A tar of (name, bytes) pairs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def samples(rows, *, extension="png", label="cls"):
    """Members of a shard: a picture and a label per row."""
    for row in rows:
        yield f"./d/{row:04d}.{extension}", png_bytes((4, 3 + row % 2))
        text = str(row % 3) if label == "cls" else json.dumps({"label": row % 3, "caption": "x"})
        yield f"./d/{row:04d}.{label}", text.encode()


@pytest.mark.parametrize("label", ["cls", "json"])
@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_one_shard(tmp_path, label, format):
    write_tar(tmp_path / "s.tar", [*samples(range(5), label=label), ("d/0000.txt", b"hello")], format)
    image_set = read(tmp_path / "s.tar")
    assert (image_set.name, image_set.format) == ("s.tar", "tar")
    assert image_set.ids == tuple(f"d/{row:04d}" for row in range(5))
    assert image_set.labels.tolist() == [0, 1, 2, 0, 1]
    assert image_set.class_names == ("0", "1", "2")
    assert image_set.sizes.tolist() == [[3, 4], [4, 4], [3, 4], [4, 4], [3, 4]]
    assert [picture.shape for picture in image_set.load([4, 3])] == [(3, 4, 3), (4, 4, 3)]
    write(image_set, tmp_path / "copy.parquet")
    assert read(tmp_path / "copy.parquet").content_hash == image_set.content_hash


def test_shards_by_folder_glob_and_braces(tmp_path):
    for shard in range(3):
        write_tar(tmp_path / f"set/train-{shard:03d}.tar", samples(range(3 * shard, 3 * shard + 3)))
    write_tar(tmp_path / "set/test-000.tar", samples([9]))
    assert detect_format(tmp_path / "set") == "tar"
    whole = read(tmp_path / "set")
    assert whole.ids == tuple(f"d/{row:04d}" for row in range(9))
    assert read(f"{tmp_path}/set#test").ids == ("d/0009",)
    assert read(f"{tmp_path}/set/train-*.tar").content_hash == whole.content_hash
    assert read(f"{tmp_path}/set/train-{{000..002}}.tar").content_hash == whole.content_hash
    assert read(f"{tmp_path}/set/{{test-000,train-001}}.tar[:2]").ids == ("d/0009", "d/0003")
    with pytest.raises(SettingsError, match="choose from test, train"):
        read(f"{tmp_path}/set#none")
    with pytest.raises(DataError) as caught:
        read(f"{tmp_path}/set/train-{{000..003}}.tar")
    assert_one_line(caught.value, "train-003.tar", "no such file")
    with pytest.raises(DataError, match="no tar files"):
        read(tmp_path / "none.tar")
    with pytest.raises(DataError, match="over 100000"):
        read(f"{tmp_path}/{{0..9999}}-{{0..9999}}.tar")


def test_splits_in_folders_with_names_of_classes(tmp_path):
    for split in ("train", "test"):
        write_tar(tmp_path / f"set/{split}/0.tar", samples(range(3)))
    (tmp_path / "set/class_names.txt").write_text("cat\ndog\nemu\n")
    image_set = read(f"{tmp_path}/set#test")
    assert (len(image_set), image_set.class_names) == (3, ("cat", "dog", "emu"))


def test_keys_that_several_shards_share_become_rows(tmp_path):
    for shard in range(2):
        write_tar(tmp_path / f"{shard}.tar", samples(range(2)))
    with pytest.warns(DataWarning, match=r"pictures called by their row, as not each is stored .*: 4"):
        assert read(f"{tmp_path}/*.tar").ids == tuple(f"{row:08d}" for row in range(4))


def test_missing_labels_are_unknown(tmp_path):
    members = [("a.png", png_bytes()), ("a.json", b'{"caption": "x"}'), ("a.seg.png", png_bytes()), ("readme", b"hi")]
    write_tar(tmp_path / "s.tar", members)
    with pytest.warns(DataWarning, match=r"neither pictures nor labels, left alone: 3 \(a.json, a.seg.png, readme\)"):
        image_set = read(tmp_path / "s.tar")
    assert (image_set.ids, image_set.labels.tolist(), image_set.class_names) == (("a",), [-1], ())


def test_pictures_of_other_names_are_found_by_their_bytes(tmp_path):
    members = [("a.input.png", png_bytes()), ("a.cls", b"007"), ("b.v2.jpg", png_bytes()), ("c.img", png_bytes())]
    write_tar(tmp_path / "s.tar", [*members, ("d", png_bytes()), ("d.txt", b"hello")])
    image_set = read(tmp_path / "s.tar")
    assert image_set.ids == ("a", "b", "c", "d")
    assert image_set.labels.tolist() == [7, -1, -1, -1]
    assert image_set.sizes.tolist() == [[3, 4]] * 4


@pytest.mark.parametrize("key", ["label", "class", "target"])
def test_labels_in_json_and_names_of_classes(tmp_path, key):
    labels = ["emu", "cat", None]
    members = [(f"{row}.json", json.dumps({key: label}).encode()) for row, label in enumerate(labels)]
    write_tar(tmp_path / "s.tar", [*members, *((f"{row}.png", png_bytes()) for row in range(3))])
    image_set = read(tmp_path / "s.tar")
    assert (image_set.labels.tolist(), image_set.class_names) == ([1, 0, -1], ("cat", "emu"))


def test_names_of_classes_are_numbered_as_their_file_says(tmp_path):
    members = [(f"{row}.cls", name) for row, name in enumerate([b"emu", b"cat", b"fox"])]
    write_tar(tmp_path / "s.tar", [*members, *((f"{row}.png", png_bytes()) for row in range(3))])
    (tmp_path / "class_names.txt").write_text("cat\ndog\nemu\n")
    with pytest.warns(DataWarning, match=r"labels that are no class but 'fox', taken as unknown: 1 \(2\)"):
        image_set = read(tmp_path / "s.tar")
    assert (image_set.labels.tolist(), image_set.class_names) == ([2, 0, -1], ("cat", "dog", "emu"))


def test_labels_that_are_none_are_said(tmp_path):
    values = [b'{"label": 1}', b'{"label": [0, 1]}', b'{"label": true}']
    members = [(f"{row}.json", value) for row, value in enumerate(values)]
    write_tar(tmp_path / "s.tar", [*members, *((f"{row}.png", png_bytes()) for row in range(3))])
    with pytest.warns(DataWarning, match=r"labels that are no class but list, taken as unknown: 2 \(1, 2\)"):
        assert read(tmp_path / "s.tar").labels.tolist() == [1, -1, -1]


@pytest.mark.parametrize(
    ("members", "parts"),
    [
        ([("a.cls", b"1")], ["record a", "no picture"]),
        ([("a.png", png_bytes()), ("a.jpg", png_bytes())], ["record a", "two pictures"]),
        ([("a.png", png_bytes()), ("a.cls", b"1"), ("a.json", b'{"label": 2}')], ["record a", "labels 1 and 2"]),
        (
            [("a.l.png", png_bytes()), ("a.r.png", png_bytes())],
            ["record a", "which of several pictures", "a.l.png, a.r.png"],
        ),
        ([("a.cls", b"1"), ("a.txt", b"x")], ["record a", "a label but no picture; beside it: a.txt"]),
        ([("a.png", png_bytes()), ("a.cls", b"[" * 100_000)], ["record a.cls", "cannot be read", "whole number"]),
        ([("a.png", png_bytes()), ("a.json", b"[" * 100_000)], ["record a.json", "cannot be read"]),
        ([("a.png", png_bytes()), ("a.cls", b"a\x1bb")], ["record a.cls", "cannot be read"]),
        ([("a.png", png_bytes()), ("a.cls", b"-2")], ["record a", "label -2"]),
        ([("a.png", png_bytes()), ("a.cls", b"9" * 12)], ["s.tar", "no number of a class"]),
        ([("a.png", png_bytes()), ("a.cls", b" " * 2**21)], ["record a.cls", "a label of 2097152 bytes"]),
        ([("../a.png", png_bytes())], ["record ../a.png", "leaves the archive"]),
        ([("/etc/a.png", png_bytes())], ["record /etc/a.png", "leaves the archive"]),
    ],
)
def test_bad_members_are_named(tmp_path, members, parts):
    write_tar(tmp_path / "s.tar", members)
    with pytest.raises(DataError) as caught:
        read(tmp_path / "s.tar")
    assert_one_line(caught.value, "s.tar", *parts)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        member = tarfile.TarInfo("a.png")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(UnsafeFileError) as caught:
        read(tmp_path / "s.tar")
    assert_one_line(caught.value, "s.tar, record a.png", "a link, a device or a sparse file")


def _with_size(size: bytes) -> bytes:
    """A tar whose first header claims a size."""
    header = bytearray(tarfile.TarInfo("a.png").tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(10 * 512)


@pytest.mark.parametrize(
    "size",
    [b"77777777777\0", b"\x80" + b"\x7f" * 11, b"\xff" + b"\xff" * 9 + b"\xfe\x00", b"\xff" * 10 + b"\xfa\x00"],
    ids=["8 GB", "2^94 bytes", "-512", "-1536"],
)
def test_impossible_sizes_are_refused(tmp_path, size):
    (tmp_path / "s.tar").write_bytes(_with_size(size))
    with pytest.raises(DataError) as caught:
        read(tmp_path / "s.tar")
    assert_one_line(caught.value, "s.tar")


def test_truncated_anywhere_is_refused(tmp_path):
    write_tar(tmp_path / "whole.tar", samples(range(2)))
    whole = (tmp_path / "whole.tar").read_bytes()
    ends = whole.rstrip(b"\0")
    for length in [0, 1, 511, 512, 700, 1024, 2048, len(ends) - 1, len(ends), len(ends) + 100]:
        (tmp_path / "s.tar").write_bytes(whole[:length])
        with pytest.raises(DataError) as caught:
            read(tmp_path / "s.tar")
        assert_one_line(caught.value, "s.tar", "Fetch it again")


def test_what_follows_the_end_is_refused(tmp_path):
    write_tar(tmp_path / "s.tar", samples(range(2)))
    data = (tmp_path / "s.tar").read_bytes()
    (tmp_path / "s.tar").write_bytes(data + data)  # `cat a.tar b.tar`: tarfile would see half of it
    with pytest.raises(DataError, match="broken at byte"):
        read(tmp_path / "s.tar")


def test_compressed_shards_are_refused(tmp_path):
    write_tar(tmp_path / "s.tar", samples(range(2)))
    (tmp_path / "z.tar").write_bytes(gzip.compress((tmp_path / "s.tar").read_bytes()))
    with pytest.raises(DataError) as caught:
        read(tmp_path / "z.tar")
    assert_one_line(caught.value, "z.tar", "compressed", "gunzip")


def test_bad_pictures_are_named_with_their_key(tmp_path):
    write_tar(tmp_path / "s.tar", [("a.png", b"hello"), ("b.png", png_bytes()), ("c.png", b"")])
    good, bad = set_bad_aside(read(tmp_path / "s.tar"))
    assert good.ids == ("b",)
    assert_one_line(bad[0], "s.tar, record a", "not a picture")


def test_a_shard_that_changes_is_noticed(tmp_path):
    write_tar(tmp_path / "s.tar", samples(range(2)))
    image_set = read(tmp_path / "s.tar")
    (tmp_path / "s.tar").write_bytes(b"")
    with pytest.raises(DataError, match="cut off before byte"):
        image_set.picture(0)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_broken_files_only_raise_our_errors(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "broken.tar"
    kind = data.draw(st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
    write_tar(path, [("n" * 120 + ".png", png_bytes()), *samples(range(2), label="json")], kind)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, 4 * 512))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw)
    try:
        set_bad_aside(read(path))
    except UnpoisonError as error:
        assert_one_line(error, "broken.tar")


def test_memory_does_not_hold_the_shard(tmp_path):
    """Only places are kept: the set itself is small however large its shard is."""
    import pickle

    noise = np.random.default_rng(0).integers(0, 256, 2**20, np.uint8).tobytes()
    write_tar(tmp_path / "s.tar", [(f"{row}.png", png_bytes() + noise) for row in range(4)])
    assert len(pickle.dumps(read(tmp_path / "s.tar"))) < 5000
