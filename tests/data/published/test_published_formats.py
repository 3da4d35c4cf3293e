"""Published poisons that hold whole pictures, each written here in its authors' form."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from data.conftest import assert_one_line
from unpoison.core.errors import DataError, SettingsError, UnpoisonError, UnsafeFileError
from unpoison.core.images import ArrayImageSet
from unpoison.data import detect_format, read
from unpoison.data.class_names import CIFAR10
from unpoison.data.published.benchmark_dir import read_bases, read_target
from unpoison.data.published.bullseye_pth import MEAN, STD
from unpoison.data.published.puregen_pth import read_puregen_file
from unpoison.data.safe.npy import read_npy

COUNT = 20
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 32, 32, 3), np.uint8)
LABELS = np.arange(COUNT) % 10
FLOATS = PIXELS.transpose(0, 3, 1, 2).astype(np.float32) / 255


def _pairs(pixels=PIXELS, labels=LABELS):
    return [(Image.fromarray(one), int(label)) for one, label in zip(pixels, labels, strict=True)]


def _delusive(root):
    torch.save((torch.from_numpy(FLOATS), torch.from_numpy(LABELS)), root / "Linf.p1")
    return root / "Linf.p1"


def _tap(root):
    np.save(root / "poisoned_training_data.npy", PIXELS.astype(np.float64))
    np.save(root / "poisoned_training_labels.npy", LABELS)
    return root


def _sep(root):
    for start in range(0, COUNT, 5):
        np.save(root / f"eps2.0-1.0_iter30_sp{start:05d}-{start + 5:05d}_ts0.npy", FLOATS[start : start + 5])
    return root


def _ntga(root, kinds=("cnn_best",)):
    for kind in kinds:
        np.save(root / f"x_train_cifar10_ntga_{kind}.npy", PIXELS.astype(np.float64) / 255)
    np.save(root / "x_train_cifar10.npy", 1 - PIXELS / 255)
    np.save(root / "y_train_cifar10.npy", np.eye(10)[LABELS])
    return root


def _benchmark(root):
    (root / "poisons.pickle").write_bytes(pickle.dumps(_pairs()))
    return root


def _bullseye(root):
    tensors = [(torch.from_numpy((one - MEAN) / STD), int(label)) for one, label in zip(FLOATS, LABELS, strict=True)]
    torch.save({"poison": tensors, "idx": list(range(COUNT)), "time": 1.5}, root / "poison_00799.pth")
    return root / "poison_00799.pth"


def _puregen(root):
    pairs = [(image, torch.tensor(label)) for image, label in _pairs()]
    torch.save(pairs, root / "JPEG[75].pt")
    return root / "JPEG[75].pt"


WRITERS = {
    "delusive-pt": _delusive,
    "tap-npy": _tap,
    "sep-npy": _sep,
    "ntga-npy": _ntga,
    "benchmark-dir": _benchmark,
    "bullseye-pth": _bullseye,
    "puregen-pth": _puregen,
}


@pytest.mark.parametrize("name", WRITERS)
def test_read_as_written_and_recognised(name, tmp_path):
    path = WRITERS[name](tmp_path)
    assert detect_format(path) == name
    image_set = read(path)
    assert image_set.format == name
    np.testing.assert_array_equal(image_set.array(), PIXELS)
    if name == "sep-npy":
        assert image_set.labels.tolist() == [-1] * COUNT
    else:
        assert image_set.labels.tolist() == LABELS.tolist()
        assert image_set.class_names == CIFAR10


def test_avatar_is_an_npz(tmp_path):
    np.savez(tmp_path / "avatar.npz", data=PIXELS, targets=LABELS)
    image_set = read(tmp_path / "avatar.npz")
    np.testing.assert_array_equal(image_set.array(), PIXELS)
    assert image_set.labels.tolist() == LABELS.tolist()


def test_weights_and_lone_tensors_are_no_image_sets(tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "net.pt")
    torch.save(torch.zeros(3), tmp_path / "noise.pt")
    torch.save({"poison": 1}, tmp_path / "other.pth")
    for name in ("net.pt", "noise.pt", "other.pth"):
        with pytest.raises(DataError, match="no known format"):
            read(tmp_path / name)


def test_truncation_or_rounding_as_the_loaders_do(tmp_path):
    between = np.full((2, 3, 4, 4), 100.75 / 255, np.float32)
    torch.save((torch.from_numpy(between), torch.tensor([0, 1])), tmp_path / "a.pt")
    assert np.unique(read(tmp_path / "a.pt").array()).tolist() == [100]
    np.save(tmp_path / "eps8_sp00000-00002_ts1.npy", between)
    assert np.unique(read(tmp_path).array()).tolist() == [100]
    tensors = [(torch.from_numpy((one - MEAN) / STD), 8) for one in between]
    torch.save({"poison": tensors, "idx": [3, 4]}, tmp_path / "poison_00001.pth")
    assert np.unique(read(tmp_path / "poison_00001.pth").array()).tolist() == [101]


def test_old_torch_files_of_bullseye(tmp_path):
    path = tmp_path / "poison_00002.pth"
    records = [[torch.from_numpy((FLOATS[:1] - MEAN) / STD), 8]]  # with a batch axis, as some of them
    torch.save({"poison": records, "idx": [1]}, path, _use_new_zipfile_serialization=False)
    np.testing.assert_array_equal(read(path).array(), PIXELS[:1])


def test_sep_takes_labels_from_the_clean_set(tmp_path):
    clean = ArrayImageSet(PIXELS, LABELS, class_names=[f"n{label}" for label in range(10)])
    labelled = read(f"{_sep(tmp_path)}[3:]", labels_from=clean)
    assert labelled.labels.tolist() == LABELS[3:].tolist()
    assert labelled.class_names == clean.class_names
    assert labelled.format == "sep-npy"
    with pytest.raises(DataError, match="has only 5 labels"):
        read(tmp_path, labels_from=clean.subset(range(5)))
    with pytest.raises(SettingsError, match="keeps its own labels"):
        read(_delusive(tmp_path), labels_from=clean)


def test_sep_parts_must_be_all_there(tmp_path):
    _sep(tmp_path)
    (tmp_path / "eps2.0-1.0_iter30_sp00005-00010_ts0.npy").unlink()
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert_one_line(caught.value, "sp00010", "starts at row 10, but the parts before it end at 5")


def test_ntga_has_an_order_and_a_clean_set_of_its_own(tmp_path):
    _ntga(tmp_path, ("cnn_best", "fnn_t1"))
    with pytest.raises(SettingsError, match="clean, cnn_best, fnn_t1"):
        read(tmp_path)
    np.testing.assert_array_equal(read(f"{tmp_path}#fnn_t1").array(), PIXELS)
    np.testing.assert_array_equal(read(f"{tmp_path}#clean").array(), 255 - PIXELS)
    np.save(tmp_path / "y_train_cifar10.npy", np.ones((COUNT, 10)))
    with pytest.raises(DataError) as caught:
        read(f"{tmp_path}#clean")
    assert_one_line(caught.value, "y_train_cifar10.npy, record 0", "not a single 1")


def test_benchmark_target_with_and_without_patch(tmp_path):
    image = Image.fromarray(PIXELS[0])
    (tmp_path / "target.pickle").write_bytes(pickle.dumps((image, 7)))
    target = read_target(tmp_path)
    assert (target.true_class, target.patch) == (7, None)
    np.testing.assert_array_equal(target.image, PIXELS[0])
    patch = torch.rand(3, 5, 4, generator=torch.Generator().manual_seed(0))
    for stored in (patch, patch.numpy()):  # its authors pickle a tensor
        (tmp_path / "target.pickle").write_bytes(pickle.dumps((image, 7, stored, [28, 27])))
        target = read_target(tmp_path)
        np.testing.assert_array_equal(target.patch, patch.permute(1, 2, 0).numpy())
        assert (target.top, target.left) == (27, 28)  # the file says column, row
    (tmp_path / "target.pickle").write_bytes(pickle.dumps((image, 7, patch, [29, 27])))
    with pytest.raises(DataError, match="column 29, row 27 leaves the picture"):
        read_target(tmp_path)


def test_benchmark_bases(tmp_path):
    for stored, problem in (
        (np.arange(3), "3 row numbers for 2"),
        ([1, -2], "-2 is no row number"),
        ([1.5, 2], "not a list of row numbers"),
        ({}, "not a list of row numbers"),
        ([1, 2**70], "not a list of row numbers"),
    ):
        (tmp_path / "base_indices.pickle").write_bytes(pickle.dumps(stored))
        with pytest.raises(DataError, match=problem) as caught:
            read_bases(tmp_path, 2)
        assert_one_line(caught.value, "base_indices.pickle")
    (tmp_path / "base_indices.pickle").write_bytes(pickle.dumps([np.int64(4), 3]))
    assert read_bases(tmp_path, 2).tolist() == [4, 3]


def test_puregen_file_of_one_target(tmp_path):
    trigger = np.full((1, 3, 32, 32), 0.1, np.float32)
    torch.save((_pairs(), np.arange(COUNT), torch.from_numpy(trigger)), tmp_path / "2.pth")
    assert read(tmp_path / "2.pth").labels.tolist() == LABELS.tolist()
    found = read_puregen_file(tmp_path / "2.pth")
    assert found.base_rows.tolist() == list(range(COUNT))
    np.testing.assert_array_equal(found.trigger, trigger)
    torch.save((_pairs(), list(range(COUNT)), torch.tensor(3)), tmp_path / "3.pth")
    assert read_puregen_file(tmp_path / "3.pth").intended_class == 3


class _Hostile:
    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.mark.parametrize("name", ["poisons.pickle", "a.pt", "poison_00001.pth"])
def test_nothing_is_executed(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / name
    if name == "poisons.pickle":
        path.write_bytes(pickle.dumps([_Hostile()]))
    else:
        torch.save((torch.zeros(1, 3, 4, 4), _Hostile()), path)
    formats = {"poisons.pickle": "benchmark-dir", "a.pt": "delusive-pt", "poison_00001.pth": "bullseye-pth"}
    with pytest.raises(UnsafeFileError) as caught:
        read(path.parent if name == "poisons.pickle" else path, format=formats[name])
    assert_one_line(caught.value, name, "system", "could run code")
    assert os.listdir(tmp_path) == ["in"]


def test_tensors_in_pickles_run_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    class Storage:
        def __reduce__(self):
            return torch.storage._load_from_bytes, (pickle.dumps(_Hostile()),)

    (tmp_path / "poisons.pickle").write_bytes(pickle.dumps([Storage()]))
    with pytest.raises(UnsafeFileError, match="broken"):
        read(tmp_path)
    assert os.listdir(tmp_path) == ["poisons.pickle"]


def _save_delusive(root, images, labels):
    torch.save((torch.as_tensor(images), torch.as_tensor(labels)), root / "x.pt")


@pytest.mark.parametrize(
    ("images", "labels", "problem"),
    [
        (FLOATS * np.nan, LABELS, "record 0: a value is not a number from 0 to 1"),
        (FLOATS + np.inf, LABELS, "not a number from 0 to 1"),
        (FLOATS * 255, LABELS, "not a number from 0 to 1"),
        (FLOATS.astype(np.int64), LABELS, "pictures must be floats"),
        (FLOATS[0], LABELS, "pictures must be floats [N, 3, H, W]"),
        (FLOATS.transpose(0, 2, 3, 1).copy(), LABELS, "pictures must be floats"),
        (FLOATS[:0], LABELS[:0], "pictures must be floats"),
        (FLOATS, LABELS[1:], "19 labels for 20 pictures"),
        (FLOATS, LABELS - 1, "record 0: label -1"),
        (FLOATS, LABELS * 2**60, "is no number of a class"),
        (FLOATS, LABELS * 1.0, "the labels are float64"),
    ],
)
def test_wrong_tensors(images, labels, problem, tmp_path):
    _save_delusive(tmp_path, images, labels)
    with pytest.raises(DataError) as caught:
        read(tmp_path / "x.pt")
    assert_one_line(caught.value, "x.pt", problem)


def test_wrong_pairs(tmp_path):
    other_size = (Image.new("RGB", (8, 8)), 1)
    for pairs, problem in (
        ([*_pairs(), other_size], "record 20: the picture is 8x8, the first 32x32"),
        ([*_pairs(), (PIXELS[0], 1)], "record 20: it is not a pair of a Pillow image"),
        ([(_pairs()[0][0], -1)], "record 0: label -1"),
        ([(_pairs()[0][0], "cat")], r"label \(str\)"),
        ([], "not a list"),
        ({}, "not a list"),
    ):
        (tmp_path / "poisons.pickle").write_bytes(pickle.dumps(pairs))
        with pytest.raises(DataError, match=problem) as caught:
            read(tmp_path)
        assert_one_line(caught.value, "poisons.pickle")


def test_npy_files_that_lie(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.arange(6.0))
    whole = path.read_bytes()
    np.testing.assert_array_equal(read_npy(path), np.arange(6.0))
    path.write_bytes(whole[:-1])
    with pytest.raises(UnsafeFileError, match="claims 48 bytes and has 47"):
        read_npy(path)
    path.write_bytes(whole.replace(b"(6,), ", b"(6**9,"))
    with pytest.raises(DataError, match="broken"):
        read_npy(path)
    path.write_bytes(whole.replace(b"(6,), }        ", b"(600000000,), }"))
    with pytest.raises(UnsafeFileError, match="claims 4800000000 bytes"):
        read_npy(path)
    np.save(path, np.array([_Hostile()], object), allow_pickle=True)
    with pytest.raises(UnsafeFileError, match="Python objects"):
        read_npy(path)
    for shape, values in (((-2, -3), "<f8"), ((0, 2**70), "<f8"), ((9**15,), "<U0")):
        with open(path, "wb") as file:
            header = {"descr": values, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            file.write(bytes(48 if shape[0] < 0 else 0))
        with pytest.raises(DataError) as caught:
            read_npy(path)
        assert_one_line(caught.value, "x.npy", "broken")
    np.save(path, np.zeros((0, 4)))
    assert read_npy(path).shape == (0, 4)
    with pytest.raises(DataError, match="no such file"):
        read_npy(tmp_path / "none.npy")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Bytes of whole files, and a folder to break them in."""
    root = tmp_path_factory.mktemp("published")
    torch.save((torch.from_numpy(FLOATS[:2]), torch.from_numpy(LABELS[:2])), root / "a.pt")
    (root / "b.pickle").write_bytes(pickle.dumps(_pairs(PIXELS[:2], LABELS[:2])))
    np.save(root / "c.npy", PIXELS[:2].astype(np.float64))
    wholes = {path.name: path.read_bytes() for path in root.iterdir()}
    (root / "benchmark").mkdir()
    (root / "tap").mkdir()
    np.save(root / "tap" / "poisoned_training_labels.npy", LABELS[:2])
    return root, wholes


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_broken_bytes_never_end_in_anything_but_our_errors(published, data):
    root, wholes = published
    name = data.draw(st.sampled_from(sorted(wholes)))
    whole = wholes[name]
    if data.draw(st.booleans()):
        broken = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        at = data.draw(st.integers(0, min(len(whole), 400) - 1))
        broken = whole[:at] + data.draw(st.binary(min_size=1, max_size=4)) + whole[at + 1 :]
    target, source, kind = {
        "a.pt": (root / "x.pt", root / "x.pt", "delusive-pt"),
        "b.pickle": (root / "benchmark" / "poisons.pickle", root / "benchmark", "benchmark-dir"),
        "c.npy": (root / "tap" / "poisoned_training_data.npy", root / "tap", "tap-npy"),
    }[name]
    target.write_bytes(broken)
    detect = data.draw(st.booleans())
    try:
        image_set = read(source, format=None if detect else kind)
    except UnpoisonError as error:
        assert_one_line(error)
    else:
        assert image_set.array().dtype == np.uint8
