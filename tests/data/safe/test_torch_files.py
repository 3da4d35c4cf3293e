from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from PIL import Image

from data.conftest import assert_one_line
from unpoison.core.errors import DataError, UnpoisonError, UnsafeFileError
from unpoison.core.picture import Picture
from unpoison.data.safe.torch_files import read_torch


class _Hostile:
    def __reduce__(self):
        return os.system, ("touch executed",)


def _read(tmp_path, value, **options):
    torch.save(value, tmp_path / "x.pth", **options)
    return read_torch(tmp_path / "x.pth")


def test_tensors_become_arrays(tmp_path):
    whole = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    value = {
        "whole": whole,
        "view": whole[1:, :, ::2].transpose(1, 2),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "empty": torch.zeros(0, 3),
        "bfloat16": whole.to(torch.bfloat16)[:, 1:],
        "label": 7,
    }
    read = _read(tmp_path, value)
    assert read["label"] == 7
    for name in ("whole", "view", "bytes", "parameter", "empty"):
        np.testing.assert_array_equal(read[name], value[name].detach().numpy())
        assert read[name].dtype == value[name].detach().numpy().dtype
    np.testing.assert_array_equal(read["bfloat16"], whole[:, 1:].numpy())  # small whole numbers are exact in it


def test_published_poisons_hold_pillow_pictures(tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    ((picture, label),), indices, target = _read(tmp_path, ([(image, 3)], np.array([5]), 8))
    assert isinstance(picture, Picture)
    np.testing.assert_array_equal(picture.rgb, np.asarray(image))
    assert (label, indices.tolist(), target) == (3, [5], 8)


@pytest.mark.parametrize(("kept", "problem"), [(0, "the file is empty"), (300, "the file is cut short")])
def test_files_that_were_not_fetched_whole(tmp_path, kept, problem):
    torch.save([1] * 500, tmp_path / "x.pth")
    (tmp_path / "x.pth").write_bytes((tmp_path / "x.pth").read_bytes()[:kept])
    with pytest.raises(DataError) as caught:
        read_torch(tmp_path / "x.pth")
    assert_one_line(caught.value, problem, "Fetch it again")


def test_old_files_without_zip(tmp_path):
    read = _read(tmp_path, {"a": [torch.ones(2)]}, _use_new_zipfile_serialization=False)
    np.testing.assert_array_equal(read["a"][0], np.ones(2))


@pytest.mark.parametrize("new", [True, False])
def test_hostile_files_are_refused_and_not_run(tmp_path, monkeypatch, new):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsafeFileError) as caught:
        _read(tmp_path, {"x": _Hostile()}, _use_new_zipfile_serialization=new)
    assert_one_line(caught.value, "x.pth", "system", "safetensors")
    assert os.listdir(tmp_path) == ["x.pth"]


def _rewrite(tmp_path, change):
    torch.save(torch.arange(6.0), tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as old, zipfile.ZipFile(tmp_path / "x.pth", "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))


def test_tensor_that_reaches_beyond_its_data(tmp_path):
    _rewrite(tmp_path, lambda name, data: data.replace(b"K\x06\x85", b"K\x07\x85") if "pkl" in name else data)
    with pytest.raises(UnsafeFileError, match="beyond its data"):
        read_torch(tmp_path / "x.pth")
    _rewrite(tmp_path, lambda name, data: data[:-4] if name.endswith("data/0") else data)
    with pytest.raises(UnsafeFileError, match="6 numbers with 5 stored"):
        read_torch(tmp_path / "x.pth")


def test_not_torch(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_torch(tmp_path / "x.pth")
    (tmp_path / "x.pth").write_bytes(pickle.dumps([1]))
    with pytest.raises(UnpoisonError, match=r"x\.pth"):
        read_torch(tmp_path / "x.pth")
    np.savez(tmp_path / "x.npz", a=1)
    with pytest.raises(DataError, match=r"not a file of torch\.save"):
        read_torch(tmp_path / "x.npz")


def test_tensors_larger_than_any_room_beside_the_pickle(tmp_path):
    whole = torch.zeros(24, 2**20)  # 96 MiB
    whole[5, 3] = 7
    assert _read(tmp_path, whole)[5, 3] == 7
    with pytest.raises(UnsafeFileError, match="far more than the file holds"):
        _read(tmp_path, [torch.zeros(1).expand(2**24) for _ in range(3)])  # 4 bytes that become 192 MiB


class _Tensor:
    """Pickles as a tensor that claims whatever it likes."""

    def __init__(self, stored, offset, size, stride):
        self._claims = (stored, offset, size, stride, False, OrderedDict())

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, self._claims


class _Stored:
    """Pickles as a storage of four numbers."""


def _write_claims(path, offset=0, size=(4,), stride=(1,), *, stored=None, count=4):
    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return ("storage", torch.FloatStorage, "0", "cpu", count) if isinstance(value, _Stored) else None

    file = io.BytesIO()
    stored = _Stored() if stored is None else stored
    Pickler(file, 2).dump({"labels": _Tensor(stored, offset, size, stride)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", file.getvalue())
        archive.writestr("x/data/0", np.arange(4, dtype="<f4").tobytes())


@pytest.mark.parametrize(
    "claims",
    [
        {"stored": np.zeros((4096, 0)), "size": (100,)},  # of a length, and without a byte
        {"stored": np.zeros(4, np.float32)},
        {"stored": "0000"},
        {"count": 2**40},
        {"count": 4.0},
        {"count": np.int64(4)},
        {"size": (2**61,)},
        {"size": (2,), "stride": (2**38,)},
        {"size": (2,), "stride": (2**62,)},  # times four bytes it is nothing in 64 bits
        {"size": (2,), "stride": (2**64 + 1,)},
        {"size": (2, 2), "stride": (2**63, 2**63)},
        {"size": (2**32, 2**32), "stride": (0, 0)},
        {"size": (2**31,), "stride": (0,)},
        {"offset": 2**38},
        {"offset": 2**62},
        {"offset": -1},
        {"offset": 1},
        {"size": (-1,)},
        {"size": (np.int64(4),)},
        {"size": (4, 1)},
        {"size": 4},
        {"size": ("4",)},
        {"size": (2**63, 2**63, 0), "stride": (0, 0, 0)},
    ],
    ids=str,
)
def test_sizes_from_a_file_are_never_believed(tmp_path, claims):
    path = tmp_path / "x.pth"
    _write_claims(path)
    assert read_torch(path)["labels"].tolist() == [0, 1, 2, 3]
    _write_claims(path, **claims)
    with pytest.raises(UnsafeFileError) as caught:
        read_torch(path)
    assert_one_line(caught.value, "x.pth")


def test_the_step_of_a_single_element_may_be_anything(tmp_path):
    _write_claims(tmp_path / "x.pth", offset=2, size=(1, 2), stride=(2**70, 1))
    assert read_torch(tmp_path / "x.pth")["labels"].tolist() == [[2, 3]]


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("kind", ["float64", "float16", "bfloat16", "int64", "uint8", "bool"])
def test_numbers_of_all_kinds_in_files_of_all_ages(tmp_path, kind, new):
    tensor = torch.arange(6).to(getattr(torch, kind)).reshape(2, 3).t()
    read = _read(tmp_path, {"a": tensor, "same": tensor}, _use_new_zipfile_serialization=new)
    np.testing.assert_array_equal(read["a"], tensor.float().numpy())
    np.testing.assert_array_equal(read["a"], read["same"])


def test_old_files_whose_numbers_are_cut_or_miscounted(tmp_path):
    path = tmp_path / "x.pth"
    torch.save(torch.arange(6.0), path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for changed in (whole[:-3], whole[:-32] + b"\xff" * 32, whole.replace(b"K\x06\x85", b"K\x07\x85")):
        path.write_bytes(changed)
        with pytest.raises(DataError) as caught:
            read_torch(path)
        assert_one_line(caught.value, "x.pth")


def test_files_of_machines_that_turn_their_bytes_are_refused(tmp_path):
    _rewrite(tmp_path, lambda name, data: b"big" if name.endswith("byteorder") else data)
    with pytest.raises(DataError, match="another kind of machine"):
        read_torch(tmp_path / "x.pth")


def test_lists_in_lists_are_not_multiplied(tmp_path):
    value = [0]
    for _ in range(60):
        value = [value, value]  # 2^60 zeros, were they copied
    assert len(_read(tmp_path, value, _use_new_zipfile_serialization=False)) == 2
