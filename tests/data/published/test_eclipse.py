from __future__ import annotations

import pickle

import numpy as np
import pytest

from data.conftest import assert_one_line
from unpoison.core.errors import DataError, SettingsError
from unpoison.data import read, write
from unpoison.data.published.eclipse_tree import list_tree

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


def _read(tmp_path, records):
    (tmp_path / "LSP.pkl").write_bytes(pickle.dumps(records))
    return read(tmp_path / "LSP.pkl")


def test_bytes_and_arrays(tmp_path):
    image_set = _read(tmp_path, [(PIXELS.tobytes(), 3), (PIXELS, np.int64(9)), [PIXELS.reshape(-1), 0]])
    assert (image_set.name, image_set.format) == ("LSP.pkl", "eclipse-pkl")
    assert image_set.labels.tolist() == [3, 9, 0]
    assert image_set.class_names[3] == "cat"
    for picture in image_set.load(range(3)):
        np.testing.assert_array_equal(picture, PIXELS)


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ((PIXELS.tobytes()[:-1], 3), "not 3072 bytes"),
        ((PIXELS.astype(float), 3), "not 3072 bytes"),
        ((PIXELS.tobytes(), 10), "label 10 is outside 0 to 9"),
        ((PIXELS.tobytes(), -1), "label -1 is outside"),
        ((PIXELS.tobytes(), 10**5000), "label (int)"),
        ((PIXELS.tobytes(), "cat"), "label (str)"),
        (PIXELS.tobytes(), "not a pair"),
    ],
)
def test_wrong_records(tmp_path, record, problem):
    with pytest.raises(DataError) as caught:
        _read(tmp_path, [(PIXELS.tobytes(), 1), record])
    assert_one_line(caught.value, "LSP.pkl, record 1", problem, "Fetch it again")


def test_not_a_list(tmp_path):
    for value in ({}, [], 3):
        with pytest.raises(DataError, match="not a list"):
            _read(tmp_path, value)


def test_pickles_are_not_written(tmp_path):
    image_set = _read(tmp_path, [(PIXELS.tobytes(), 1)])
    with pytest.raises(SettingsError, match=r"name the target out\.npz"):
        write(image_set, tmp_path / "out.pkl")
    write(image_set, tmp_path / "out.npz")
    assert read(tmp_path / "out.npz").content_hash == image_set.content_hash


def test_tree(tmp_path):
    for name in (
        "poisoned_data/cifar10/LSP.pkl",
        "poisoned_data/cifar10/readme.md",
        "purified_data/cifar10/test2000ps8000/100/250000/LSP-pure.pkl",
        "purified_data/cifar10/test2000ps8000/100/250000/LSP.pkl",
        "diff_ckpt/cifar10/test2000ps8000/ema_0.9999_250000.pt",
        "diff_ckpt/cifar10/test2000ps8000/model250000.pt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    tree = list_tree(tmp_path)
    assert [file.poison for file in tree.poisoned] == ["LSP"]
    (purified,) = tree.purified
    assert (purified.sparse_set, purified.t, purified.iteration, purified.poison) == (
        "test2000ps8000",
        100,
        250_000,
        "LSP",
    )
    (checkpoint,) = tree.checkpoints
    assert (checkpoint.sparse_set, checkpoint.rate, checkpoint.step) == ("test2000ps8000", 0.9999, 250_000)
    assert checkpoint.path.is_file()
    assert list_tree(tmp_path / "none").purified == ()


def test_sets_of_a_tree_are_read_by_name(tmp_path):
    poisoned = tmp_path / "poisoned_data" / "cifar10"
    purified = tmp_path / "purified_data" / "cifar10" / "test2000ps8000" / "100" / "250000"
    for folder, name, label in ((poisoned, "LSP.pkl", 3), (purified, "LSP-pure.pkl", 4)):
        folder.mkdir(parents=True)
        (folder / name).write_bytes(pickle.dumps([(PIXELS.tobytes(), label)]))
    assert read(f"{tmp_path}#LSP").labels.tolist() == [3]
    assert read(f"{tmp_path}#LSP-pure-test2000ps8000-100-250000").labels.tolist() == [4]
    for source, problem in ((str(tmp_path), "name one of its sets"), (f"{tmp_path}#EM", "no set 'EM'")):
        with pytest.raises(SettingsError, match=problem) as caught:
            read(source)
        assert "LSP, LSP-pure-test2000ps8000-100-250000" in str(caught.value)
