"""The split for transfer learning as its authors saved it, before and after torch 1.6."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from data.conftest import assert_one_line
from unpoison.core.errors import DataError, SettingsError, UnsafeFileError
from unpoison.data import detect_format, read
from unpoison.data.class_names import CIFAR10

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), np.uint8)
LABELS = np.arange(12) % 10


def content():
    pairs = [(Image.fromarray(one), int(label)) for one, label in zip(PIXELS, LABELS, strict=True)]
    return {"clean_train": pairs[:8], "others": pairs[8:]}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_parts_are_read_by_name(tmp_path, zipped):
    path = tmp_path / "CIFAR10_TRAIN_Split.pth"
    torch.save(content(), path, _use_new_zipfile_serialization=zipped)
    assert detect_format(path) == "bullseye-split"
    others = read(f"{path}#others")
    np.testing.assert_array_equal(others.array(), PIXELS[8:])
    assert others.labels.tolist() == LABELS[8:].tolist()
    assert (others.class_names, others.format) == (CIFAR10, "bullseye-split")
    assert len(read(f"{path}#clean_train[2:]")) == 6
    for source, problem in ((str(path), "name one of its parts"), (f"{path}#test", "it has no part 'test'")):
        with pytest.raises(SettingsError) as caught:
            read(source)
        assert_one_line(caught.value, problem, "Split.pth#NAME: clean_train, others")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_under_another_name_the_content_tells(tmp_path, zipped):
    torch.save(content(), tmp_path / "mine.pth", _use_new_zipfile_serialization=zipped)
    assert detect_format(tmp_path / "mine.pth") == "bullseye-split"
    (tmp_path / "cut.pth").write_bytes((tmp_path / "mine.pth").read_bytes()[:40])
    with pytest.raises(DataError, match="no known format"):
        detect_format(tmp_path / "cut.pth")


class Evil:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_nothing_runs(tmp_path, capsys, zipped):
    path = tmp_path / "CIFAR10_TRAIN_Split.pth"
    torch.save({"others": Evil()}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeFileError) as caught:
        read(f"{path}#others")
    assert_one_line(caught.value, path, "could run code")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([1, 2], "no dict of lists"),
        ({}, "no dict of lists"),
        ({3: []}, "no dict of lists"),
        ({"others": []}, "not a list of"),
        ({"others": [(Image.new("RGB", (4, 4)), "cat")]}, "label (str)"),
        ({"others": [(Image.new("RGB", (4, 4)), 0), (Image.new("RGB", (5, 4)), 0)]}, "record 1: the picture is 5x4"),
    ],
)
def test_other_contents(tmp_path, value, problem):
    path = tmp_path / "CIFAR10_TRAIN_Split.pth"
    torch.save(value, path)
    with pytest.raises(DataError) as caught:
        read(f"{path}#others")
    assert_one_line(caught.value, "CIFAR10_TRAIN_Split.pth", problem)


def test_old_files_that_are_broken(tmp_path):
    path = tmp_path / "CIFAR10_TRAIN_Split.pth"
    torch.save(content(), path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for length in (20, 60, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError) as caught:
            read(f"{path}#others")
        assert_one_line(caught.value, path)
    torch.save({"others": torch.zeros(2)}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(DataError):
        read(f"{path}#others")
    path.write_bytes(pickle.dumps(content()))
    with pytest.raises(DataError):
        read(f"{path}#others")
