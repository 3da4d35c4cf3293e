from __future__ import annotations

import io
import pickle
import tarfile

import numpy as np
import pytest

from data.conftest import assert_one_line
from unpoison.core.errors import DataError, SettingsError, UnsafeFileError
from unpoison.data import read
from unpoison.data.safe.archives import read_tar

NAMES = [f"class {number}" for number in range(10)]


def _batch(labels, key="labels") -> dict:
    planes = np.zeros((len(labels), 3, 32, 32), np.uint8)
    planes[:, 0] = np.asarray(labels)[:, None, None]  # red says the label
    planes[:, 1] = np.arange(32)  # green says the column
    return {"data": planes.reshape(len(labels), 3072), key: list(labels)}


def _files() -> dict[str, bytes]:
    files = {f"data_batch_{number}": pickle.dumps(_batch([number, 0]), 2) for number in range(1, 6)}
    files["test_batch"] = pickle.dumps(_batch([9]), 2)
    files["batches.meta"] = pickle.dumps({"label_names": NAMES}, 2)
    return files


@pytest.fixture
def cifar(tmp_path):
    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    for name, data in _files().items():
        (root / name).write_bytes(data)
    return root


def _tar(path, members: dict[str, bytes]):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_python_folder(cifar):
    image_set = read(cifar)
    assert (image_set.name, image_set.format) == ("cifar-10-batches-py", "cifar10")
    assert image_set.labels.tolist() == [1, 0, 2, 0, 3, 0, 4, 0, 5, 0]
    assert image_set.class_names == tuple(NAMES)
    assert image_set.ids[3] == "00000003"
    assert image_set.array()[2, 5, 7].tolist() == [2, 7, 0]
    assert read(f"{cifar}#test").labels.tolist() == [9]
    assert read(f"{cifar}#train[-2:]").labels.tolist() == [5, 0]
    with pytest.raises(SettingsError, match="no split 'valid'; choose from train, test"):
        read(f"{cifar}#valid")


def test_archive_is_read_in_place(tmp_path, cifar):
    path = _tar(tmp_path / "cifar-10-python.tar.gz", {f"c/{name}": data for name, data in _files().items()})
    assert read(path).content_hash == read(cifar).content_hash
    assert read(f"{path}#test").labels.tolist() == [9]


def test_hundred_classes(tmp_path):
    for name, labels in (("train", [99, 0]), ("test", [50])):
        (tmp_path / name).write_bytes(pickle.dumps(_batch(labels, "fine_labels")))
    (tmp_path / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"f{number}" for number in range(100)]}))
    assert read(tmp_path).format == "cifar100"
    assert read(tmp_path).labels.tolist() == [99, 0]
    assert read(f"{tmp_path}#test").class_names[50] == "f50"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("data_batch_2", {"data": np.zeros((1, 3071), np.uint8), "labels": [0]}, "3072 bytes a row"),
        ("data_batch_2", {"data": np.zeros((1, 3072), np.uint8), "labels": []}, "no 'labels'"),
        ("data_batch_2", {"data": np.zeros((1, 3072), np.uint8), "labels": ["a"]}, "label (str)"),
        ("data_batch_2", {"data": np.zeros((1, 3072), np.uint8), "labels": [10]}, "label 10 is outside 0 to 9"),
        ("data_batch_2", [1], "no uint8 array"),
        ("batches.meta", {"label_names": ["a"]}, "'label_names' of 10 names"),
    ],
)
def test_wrong_contents(cifar, name, content, problem):
    (cifar / name).write_bytes(pickle.dumps(content))
    with pytest.raises(DataError) as caught:
        read(cifar)
    assert_one_line(caught.value, "cifar-10-batches-py", f"record {name}", problem, "Fetch it again")


def test_missing_batch(cifar):
    (cifar / "data_batch_4").unlink()
    with pytest.raises(DataError, match="'data_batch_4' is missing"):
        read(cifar)


def test_hostile_batch_in_archive(tmp_path):
    files = {**_files(), "data_batch_3": b"cos\nsystem\n(S'touch executed'\ntR."}
    path = _tar(tmp_path / "cifar-10-python.tar.gz", files)
    with pytest.raises(UnsafeFileError) as caught:
        read(path)
    assert_one_line(caught.value, "cifar-10-python.tar.gz, record data_batch_3", "os.system", "npz")


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x"])
def test_member_that_leaves_the_archive(tmp_path, name):
    path = _tar(tmp_path / "cifar-10-python.tar.gz", {**_files(), name: b"x"})
    with pytest.raises(UnsafeFileError) as caught:
        read(path)
    assert_one_line(caught.value, path.name, name, "leaves the archive", "Fetch it again")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices(tmp_path, kind):
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("data_batch_1")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(UnsafeFileError, match="link, a device"):
        read(path)


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE])
def test_bombs(tmp_path, kind):
    # A member, or a header, of zeros: a thousandth of that on disk.
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        member = tarfile.TarInfo("data_batch_1")
        member.type, member.size = kind, 300 * 2**20
        archive.addfile(member, _Zeros())
    with pytest.raises(UnsafeFileError) as caught:
        read_tar(path, lambda name: True)
    assert_one_line(caught.value, path.name, "zip bomb")


class _Zeros(io.RawIOBase):
    def read(self, size=-1):
        return bytes(size)


def test_broken_archive(tmp_path, cifar):
    path = _tar(tmp_path / "cifar-10-python.tar.gz", _files())
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError) as caught:
        read(path)
    assert_one_line(caught.value, path.name, "broken", "Fetch it again")


def _records(labels, classes=10) -> bytes:
    planes = _batch(labels)["data"]
    coarse = [b"\x01"] if classes == 100 else [b""]
    return b"".join(coarse[0] + bytes([label]) + row.tobytes() for label, row in zip(labels, planes, strict=True))


def test_binary_folder_and_file(tmp_path, cifar):
    root = tmp_path / "cifar-10-batches-bin"
    root.mkdir()
    for number in range(1, 6):
        (root / f"data_batch_{number}.bin").write_bytes(_records([number, 0]))
    (root / "test_batch.bin").write_bytes(_records([9]))
    (root / "batches.meta.txt").write_text("\n".join([*NAMES, "", ""]))
    assert read(root).format == "cifar10-bin"
    assert read(root).content_hash == read(cifar).content_hash
    assert read(root).class_names == tuple(NAMES)
    assert read(f"{root}#test").labels.tolist() == [9]
    assert read(root / "test_batch.bin").labels.tolist() == [9]


def test_binary_hundred(tmp_path):
    (tmp_path / "train.bin").write_bytes(_records([99, 3], 100))
    assert read(tmp_path).format == "cifar100-bin"
    assert read(tmp_path / "train.bin").format == "cifar100-bin"
    assert read(tmp_path / "train.bin").labels.tolist() == [99, 3]


def test_binary_wrong_length_and_label(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(_records([1, 2])[:-1])
    with pytest.raises(DataError) as caught:
        read(path)
    assert_one_line(caught.value, "x.bin, record 1", "6145 bytes are not whole records of 3073", "Fetch it again")
    path.write_bytes(_records([1, 10]))
    with pytest.raises(DataError) as caught:
        read(path)
    assert_one_line(caught.value, "x.bin, record 1", "label 10 is outside 0 to 9")
