from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data.conftest import assert_one_line
from unpoison.core.errors import DataError, SettingsError, UnpoisonError, UnsafeFileError
from unpoison.core.notes import DataWarning
from unpoison.data import read, write


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array)
    return file.getvalue()


def test_ours(tmp_path, small_set):
    write(small_set, tmp_path / "x.npz")
    image_set = read(tmp_path / "x.npz")
    assert (image_set.name, image_set.format) == ("x.npz", "npz")
    assert image_set.ids == small_set.ids
    assert image_set.class_names == small_set.class_names
    assert image_set.content_hash == small_set.content_hash


def test_equal_sets_give_equal_bytes(tmp_path, small_set):
    write(small_set, tmp_path / "a.npz")
    write(small_set, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert np.load(tmp_path / "a.npz")["images"].shape == (12, 6, 5, 3)


def test_avatar(tmp_path):
    np.savez(tmp_path / "x.npz", data=np.zeros((3, 4, 4, 3), np.uint8), targets=np.array([2, 0, 1]))
    image_set = read(tmp_path / "x.npz")
    assert image_set.labels.tolist() == [2, 0, 1]
    assert image_set.class_names == ("0", "1", "2")
    assert image_set.ids[1] == "00000001"


@pytest.mark.parametrize("shape", [(2, 4, 5), (2, 4, 5, 1)])
def test_grey_becomes_rgb(tmp_path, shape):
    np.savez_compressed(tmp_path / "x.npz", images=np.full(shape, 7, np.uint8))
    picture = read(tmp_path / "x.npz").picture(1)
    assert picture.mode == "L"
    assert picture.rgb.shape == (4, 5, 3)
    assert read(tmp_path / "x.npz").labels.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"x": np.zeros(3)}, "no array 'images'"),
        ({"images": np.zeros((2, 4, 4, 3))}, "float64 [2, 4, 4, 3]"),
        ({"images": np.zeros((2, 3, 4, 4), np.uint8)}, "uint8 [2, 3, 4, 4]"),
        ({"images": np.zeros((32, 32, 3), np.uint8)}, "'images' [32, 32, 3] look like one picture"),
        ({"images": np.zeros((2, 4, 4, 3), np.uint8), "labels": np.array(1)}, "labels are one value"),
        ({"images": np.zeros((2, 4, 4, 3), np.uint8), "y": np.array([0, 2**63], np.uint64)}, "no number of a class"),
        ({"images": np.zeros((2, 4, 4, 3), np.uint8), "labels": np.zeros(3, int)}, "3 labels"),
        ({"images": np.zeros((1, 4, 4, 3), np.uint8), "labels": np.array([-2])}, "label -2"),
        ({"images": np.zeros((2, 4, 4, 3), np.uint8), "ids": np.array(["a", "a"])}, "share the id 'a'"),
        ({"images": np.zeros((2, 4, 4, 3), np.uint8), "ids": np.arange(2)}, "list of text"),
        (
            {"images": np.zeros((1, 4, 4, 3), np.uint8), "labels": np.array([1]), "class_names": np.array(["a"])},
            "label 1 is outside 0 to 0",
        ),
    ],
)
def test_wrong_contents(tmp_path, arrays, problem):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError) as caught:
        read(tmp_path / "x.npz")
    assert_one_line(caught.value, "x.npz", problem)


@pytest.mark.parametrize("name", ["labels", "label", "targets", "y"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint64, np.int16, np.float32])
def test_labels_of_any_common_name_and_type(tmp_path, name, kind):
    np.savez(tmp_path / "x.npz", images=np.zeros((3, 4, 4, 3), np.uint8), **{name: np.array([2, 0, 1], kind)})
    image_set = read(tmp_path / "x.npz")
    assert (image_set.labels.tolist(), image_set.class_names) == ([2, 0, 1], ("0", "1", "2"))


def test_texts_are_names_of_classes(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.zeros((3, 4, 4, 3), np.uint8), labels=np.array(["dog", "cat", "dog"]))
    image_set = read(tmp_path / "x.npz")
    assert (image_set.labels.tolist(), image_set.class_names) == ([1, 0, 1], ("cat", "dog"))


def test_numbers_stored_as_texts_keep_their_order(tmp_path):
    labels = np.array(["10", "2", "unknown", "1"])
    np.savez(tmp_path / "x.npz", images=np.zeros((4, 4, 4, 3), np.uint8), labels=labels)
    image_set = read(tmp_path / "x.npz")
    assert (image_set.labels.tolist(), image_set.class_names) == ([2, 1, 3, 0], ("1", "2", "10", "unknown"))


def test_what_is_not_read_is_said(tmp_path):
    images = np.zeros((2, 4, 4, 3), np.uint8)
    np.savez(tmp_path / "x.npz", images=images, labels=np.array([[0, 1], [1, 0]]), weights=np.ones(2))
    with pytest.warns(DataWarning) as told:
        image_set = read(tmp_path / "x.npz")
    assert image_set.labels.tolist() == [-1, -1]
    assert [str(one.message) for one in told] == [
        "x.npz: labels that are no class but list, taken as unknown: 2 (0, 1)",
        "x.npz: arrays left alone: 1 (weights)",
    ]


def test_upper_case_suffix(tmp_path, small_set):
    write(small_set, tmp_path / "X.NPZ")
    assert read(tmp_path / "X.NPZ").content_hash == small_set.content_hash


def test_lost_transparency_is_said(tmp_path):
    Image.new("LA", (4, 3)).save(tmp_path / "0.png")
    with pytest.warns(DataWarning, match=r"x.npz: pictures whose transparency .npz cannot hold, left out: 1"):
        notes = write(read(tmp_path, format="numbered"), tmp_path.parent / f"{tmp_path.name}x.npz")
    assert [note.count for note in notes] == [1]


def test_objects_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.array([{}], object))
    with pytest.raises(UnsafeFileError) as caught:
        read(tmp_path / "x.npz")
    assert_one_line(caught.value, "x.npz, record images", "could run code", "plain numbers")


def test_header_that_claims_more_than_the_member(tmp_path):
    raw = _npy(np.zeros((2, 4, 4, 3), np.uint8)).replace(b"(2, 4, 4, 3)", b"(9999999, 4, 4, 3)")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("images.npy", raw[: 10 + 118] + bytes(96))
    with pytest.raises(UnsafeFileError) as caught:
        read(tmp_path / "x.npz")
    assert_one_line(caught.value, "x.npz, record images", "claims 479999952 bytes", "numpy.savez")


def test_archive_that_claims_more_than_the_member(tmp_path):
    """Data that ends early, with the right checksum of what there is."""
    raw = _npy(np.arange(96, dtype=np.uint8).reshape(2, 4, 4, 3))
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", raw[:-10])
    size, claimed = (struct.pack("<I", len(raw) - missing) for missing in (10, 0))
    (tmp_path / "x.npz").write_bytes((tmp_path / "x.npz").read_bytes().replace(size, claimed))
    with pytest.raises(DataError) as caught:
        read(tmp_path / "x.npz")
    assert_one_line(caught.value, "x.npz, record images", "cut short", "Fetch it again")


def test_zip_bomb(tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("images.npy", "w", force_zip64=True) as file,
    ):
        for _ in range(300):
            file.write(bytes(2**20))
    with pytest.raises(UnsafeFileError) as caught:
        read(tmp_path / "x.npz")
    assert_one_line(caught.value, "x.npz", "zip bomb", "Fetch it again")


@pytest.mark.parametrize("name", ["/etc/x.npy", "../x.npy", "a/../../x.npy", "C:x.npy"])
def test_member_that_leaves_the_archive(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr(name, _npy(np.zeros(3)))
    with pytest.raises(UnsafeFileError) as caught:
        read(tmp_path / "x.npz")
    assert_one_line(caught.value, "x.npz", name, "leaves the archive")


def test_not_a_zip_and_no_splits(tmp_path, small_set):
    (tmp_path / "x.npz").write_bytes(b"hello")
    with pytest.raises(DataError, match="not a zip archive"):
        read(tmp_path / "x.npz")
    write(small_set, tmp_path / "y.npz")
    with pytest.raises(SettingsError, match="no split 'test'"):
        read(f"{tmp_path}/y.npz#test")


def test_mixed_sizes_are_refused_by_the_writer(tmp_path, class_folder):
    from PIL import Image

    Image.new("RGB", (9, 9)).save(class_folder / "cat" / "big.png")
    with pytest.raises(SettingsError, match="several sizes"):
        write(read(class_folder), tmp_path / "x.npz")
    assert not list(tmp_path.glob("*npz*"))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_broken_files_only_raise_our_errors(tmp_path_factory, data):
    file = io.BytesIO()
    np.savez_compressed(file, images=np.arange(96, dtype=np.uint8).reshape(2, 4, 4, 3), labels=np.array([0, 1]))
    raw = bytearray(file.getvalue())
    for _ in range(data.draw(st.integers(0, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "broken.npz"
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        read(path)
    except UnpoisonError as error:
        assert_one_line(error, "broken.npz")
