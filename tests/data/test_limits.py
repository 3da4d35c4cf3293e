"""Small files that grow, files that are none, and links that lead elsewhere."""

from __future__ import annotations

import io
import os
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from data.conftest import assert_one_line, png_bytes
from unpoison.core.errors import DataError, UnsafeFileError
from unpoison.core.images import ArrayImageSet
from unpoison.data import read
from unpoison.data.pictures.codec import decode, measure


def _refused(source, *parts):
    with pytest.raises(DataError) as caught:
        read(str(source)).array()
    assert_one_line(caught.value, *parts)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
@pytest.mark.parametrize(
    "name", ["cat/x.png", "train.tar", "train.parquet", "x.npz", "x.pt", "x.pkl", "x.bin", "cifar-10-python.tar.gz"]
)
def test_what_is_no_file_is_never_opened(class_folder, make, name):
    make(class_folder / name)
    source = class_folder if name.endswith(".png") else class_folder / name
    _refused(source, name)


@pytest.mark.parametrize("name", ["cat/x.png", "train.tar", "x.npz", "x.pt", "x.pkl", "x.bin"])
def test_a_hole_is_no_data(class_folder, name):
    with open(class_folder / name, "wb") as file:
        file.truncate(2**40)
    source = class_folder if name.endswith(".png") else class_folder / name
    _refused(source, name)


@pytest.fixture
def secret(tmp_path):
    (tmp_path / "secret").write_text("cat\ndog\nemu\nfox\n")
    return tmp_path / "secret"


def test_names_of_classes_do_not_come_from_elsewhere(class_folder, secret, small_set, tmp_path):
    (class_folder / "class_names.txt").symlink_to(secret)
    _refused(class_folder, "class_names.txt", "leads out of the folder")


def test_neither_do_shards(class_folder, tmp_path):
    from unpoison.data import write

    write(read(class_folder), tmp_path / "outside.parquet")
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "train-0.parquet").symlink_to(tmp_path / "outside.parquet")
    for source in (tmp_path / "shards", tmp_path / "shards" / "*.parquet"):
        _refused(source, "train-0.parquet", "leads out of the folder")
    assert len(read(tmp_path / "outside.parquet")) == 4


def test_links_inside_the_cache_of_the_hub_are_followed(class_folder, tmp_path):
    from unpoison.data import write

    (tmp_path / "hub" / "blobs").mkdir(parents=True)
    snapshot = tmp_path / "hub" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    write(read(class_folder), tmp_path / "hub" / "blobs" / "set.parquet")
    (snapshot / "train.parquet").symlink_to("../../blobs/set.parquet")
    assert len(read(snapshot)) == 4


def _npz(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


def test_npz_that_grow(tmp_path):
    picture = np.zeros((1, 2, 2, 3), np.uint8)
    _refused(_npz(tmp_path / "a.npz", images=picture, labels=np.array([2**62 - 1])), "a.npz", "no number of a class")
    _refused(_npz(tmp_path / "b.npz", images=np.zeros((10**9, 0, 0, 3), np.uint8)), "b.npz", "1000000000 pictures")
    _refused(_npz(tmp_path / "c.npz", images=np.zeros((5, 0, 4, 3), np.uint8)), "c.npz", "4x0")
    _refused(_npz(tmp_path / "d.npz", images=np.zeros((100, 512, 512, 3), np.uint8)), "d.npz", "bomb")
    with pytest.raises(DataError, match="no number of a class"):
        ArrayImageSet(picture, [2**62])


def test_parquet_that_grows(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

    def store(name, pictures, **options):
        rows = [{"bytes": picture, "path": None} for picture in pictures]
        table = pa.table({"image": pa.array(rows, kind), "label": pa.array([0] * len(rows), pa.int64())})
        parquet.write_table(table, tmp_path / name, **options)
        return tmp_path / name

    shared = store("shared.parquet", [png_bytes() + bytes(2**18)] * 300)  # one picture, stored once
    assert shared.stat().st_size < 2**20
    _refused(shared, "shared.parquet", "bomb")
    packed = store("packed.parquet", [bytes([row]) * 2**19 for row in range(140)], compression="zstd")
    _refused(packed, "packed.parquet", "bomb")
    fine = store("fine.parquet", [png_bytes()] * 600)
    assert len(read(fine)) == 600


def test_arrow_that_is_compressed(tmp_path):
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"image": [{"bytes": bytes(2**20), "path": "a"}], "label": [0]})
    (tmp_path / "state.json").write_text('{"_data_files": [{"filename": "a.arrow"}]}')
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(str(tmp_path / "a.arrow"), table.schema, options=options) as stream:
        stream.write_table(table)
    _refused(tmp_path, "a.arrow", "compressed")


def test_pictures_that_cost_minutes():
    def png_header(width, height):
        head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
        crc = zlib.crc32(b"IHDR" + head).to_bytes(4, "big")
        return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + head + crc + b"\0\0\0\0IDAT\x35\xaf\x06\x1e"

    for width, height in ((1, 10**6), (8000, 8000)):
        with pytest.raises(UnsafeFileError, match="50 megapixels or 65535 a side"):
            measure(png_header(width, height), "x.png")
    with pytest.raises(DataError, match="header is broken or endless"):
        decode(b"P6\n#" + b"a" * 2**20 + b"\n1 1\n255\n\0\0\0", "x.ppm")
    assert decode(b"P6 # a\n# b\n1\n 1 255\n\1\2\3", "x.ppm").rgb.tolist() == [[[1, 2, 3]]]

    file = io.BytesIO()
    Image.new("RGB", (1500, 1000)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    assert decode(data, "x.jpg").rgb.shape == (1000, 1500, 3)
    scan = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(UnsafeFileError, match="scans, which would take minutes"):
        decode(data[:-2] + scan * 1500 + data[-2:], "x.jpg")


def test_a_flipped_bit_that_only_the_checksum_knows(tmp_path):
    import gzip
    import tarfile

    from unpoison.data.safe.archives import read_tar

    inside = io.BytesIO()
    with tarfile.open(fileobj=inside, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("empty"))
        member = tarfile.TarInfo("data")
        member.size = 5000
        archive.addfile(member, io.BytesIO(bytes(5000)))
    packed = bytearray(gzip.compress(inside.getvalue(), 0))  # not packed, so that any bit may be turned
    path = tmp_path / "x.tar.gz"
    path.write_bytes(packed)
    assert read_tar(path, lambda name: True)["data"] == bytes(5000)
    packed[3000] ^= 1
    path.write_bytes(packed)
    with pytest.raises(DataError, match="broken"):
        read_tar(path, lambda name: True)


def test_archives_of_torch_do_not_unfold(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"\x80\x02]." + bytes(2**20))
    _refused(tmp_path / "x.pt", "x.pt")


def test_texts_of_numbers_that_are_no_characters(tmp_path):
    import pickle

    from unpoison.data.safe.npy import read_npy
    from unpoison.data.safe.unpickle import read_pickle

    wrong = np.frombuffer(np.array([0x110000, 65], np.uint32).tobytes(), "<U1")
    np.save(tmp_path / "x.npy", wrong)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(wrong))
    for reader, name in ((read_npy, "x.npy"), (read_pickle, "x.pkl")):
        with pytest.raises(DataError) as caught:
            reader(tmp_path / name)
        assert_one_line(caught.value, name, "a text that is none")
    np.savez(tmp_path / "x.npz", images=np.zeros((2, 2, 2, 3), np.uint8), ids=wrong)
    _refused(tmp_path / "x.npz", "record ids", "a text that is none")


def test_a_zip_of_several_disks_is_no_zip(tmp_path):
    import torch

    path = tmp_path / "x.pt"
    torch.save(torch.zeros(3), path)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x06\x07") + 4] = 1  # on which disk its end lies
    path.write_bytes(data)
    _refused(path, "x.pt")


def _tar_gz(path, *members):
    import tarfile

    with tarfile.open(path, "w:gz", format=tarfile.GNU_FORMAT) as archive:
        for name, kind, data in members:
            member = tarfile.TarInfo(name)
            member.type, member.size = kind, len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_members_of_other_kinds_are_refused(tmp_path):
    import tarfile

    from unpoison.data.safe.archives import read_tar

    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE)
    for kind in kinds:
        path = _tar_gz(tmp_path / "x.tar.gz", ("set/cat/a.png", kind, b""))
        with pytest.raises(DataError) as caught:
            read_tar(path, lambda name: True)
        assert_one_line(caught.value, "x.tar.gz")


def test_headers_upon_headers_end(tmp_path):
    import tarfile

    from unpoison.data.safe.archives import read_tar

    path = _tar_gz(tmp_path / "x.tar.gz", *[("a", tarfile.GNUTYPE_LONGNAME, b"name\0")] * 5000)
    with pytest.raises(DataError) as caught:
        read_tar(path, lambda name: True)
    assert_one_line(caught.value, "x.tar.gz", "broken")


@pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize("name", ["x.zip", "x.npz", "x.pt"])
def test_unusual_packings_are_refused(tmp_path, packing, name):
    with zipfile.ZipFile(tmp_path / name, "w", packing) as archive:
        archive.writestr("x/data.pkl", b"\x80\x02].")
    _refused(tmp_path / name, name)
