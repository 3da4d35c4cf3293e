from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data.conftest import assert_one_line
from unpoison.core.errors import DataError, UnsafeFileError
from unpoison.core.notes import DataWarning
from unpoison.data import read
from unpoison.data.formats import archived_folder


def _pack(path: Path, folder: Path, *, inside: str = "") -> Path:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                archive.write(file, inside + file.relative_to(folder).as_posix())
    else:
        with tarfile.open(path, "w:gz") as archive:
            for file in files:
                archive.add(file, inside + file.relative_to(folder).as_posix())
    return path


@pytest.mark.parametrize("name", ["set.zip", "set.tar.gz", "set.tgz"])
@pytest.mark.parametrize("inside", ["", "./", "data/set/"])
def test_an_archive_reads_like_its_folder(class_folder, tmp_path, name, inside):
    folder = read(class_folder)
    packed = read(_pack(tmp_path / name, class_folder, inside=inside))
    assert packed.format == "archive"
    assert packed.ids == folder.ids
    assert packed.class_names == folder.class_names
    assert packed.content_hash == folder.content_hash
    assert packed.sizes.tolist() == folder.sizes.tolist()
    rows = range(len(packed))
    assert packed.stamp(rows) == pickle.loads(pickle.dumps(packed)).stamp(rows)


def test_splits_and_one_class(class_folder, tmp_path):
    both = tmp_path / "both"
    for split in ("train", "test"):
        (both / split).mkdir(parents=True)
        for folder in class_folder.iterdir():
            if folder.is_dir():
                (both / split / folder.name).symlink_to(folder)
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        for file in class_folder.glob("*/*.png"):
            for split in ("train", "test"):
                archive.write(file, f"both/{split}/{file.relative_to(class_folder)}")
    with pytest.warns(DataWarning, match="splits beside train, not read"):
        train = read(tmp_path / "both.zip")
    assert train.class_names == read(f"{tmp_path / 'both.zip'}#test").class_names == read(class_folder).class_names
    with zipfile.ZipFile(tmp_path / "cats.zip", "w") as archive:
        archive.write(next(class_folder.glob("cat/*")), "cat/0.png")
    assert read(tmp_path / "cats.zip").class_names == ("cat",)


def test_what_is_left_out_is_said(class_folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        picture = next(class_folder.glob("cat/*.png"))
        for name in ("set/cat/0.png", "set/dog/0.png", "set/cover.png", "set/cat/notes.txt", "__MACOSX/cat/._0.png"):
            archive.write(picture, name)
    with pytest.warns(DataWarning, match=r"left alone: 2 \(cat/notes.txt, cover.png\)"):
        image_set = read(tmp_path / "s.zip")
    assert image_set.ids == ("cat/0", "dog/0")


def test_bad_archives(class_folder, tmp_path, monkeypatch):
    flat = _pack(tmp_path / "flat.zip", class_folder / "cat")
    with pytest.raises(DataError) as caught:
        read(flat)
    assert_one_line(caught.value, "flat.zip", "its pictures lie in no class folders", "Unpack it")
    (tmp_path / "none.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"none\.zip: .*broken"):
        read(tmp_path / "none.zip")
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        link = zipfile.ZipInfo("cat/0.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UnsafeFileError, match="the member is a link"):
        read(tmp_path / "link.zip")
    with zipfile.ZipFile(tmp_path / "up.zip", "w") as archive:
        archive.writestr("../cat/0.png", b"")
    with pytest.raises(UnsafeFileError, match="leaves the archive"):
        read(tmp_path / "up.zip")
    packed = _pack(tmp_path / "large.tar.gz", class_folder)
    monkeypatch.setattr(archived_folder, "ARCHIVE_BYTES", 100)
    with pytest.raises(DataError) as caught:
        read(packed)
    assert_one_line(caught.value, "large.tar.gz", "unpacks to over", "Unpack it with tar -xzf")


def test_a_bomb_is_no_picture(tmp_path, class_folder, monkeypatch):
    with tarfile.open(tmp_path / "bomb.tar.gz", "w:gz", compresslevel=1) as archive:
        member = tarfile.TarInfo("cat/0.bin")
        member.size = 80 * 2**20
        archive.addfile(member, io.BytesIO(bytes(member.size)))
        archive.add(next(class_folder.glob("cat/*.png")), "cat/1.png")
    with pytest.raises(UnsafeFileError, match="zip bomb"):
        read(tmp_path / "bomb.tar.gz")
    packed = _pack(tmp_path / "s.zip", class_folder)
    monkeypatch.setattr(archived_folder, "PICTURE_BYTES", 10)
    with pytest.raises(UnsafeFileError, match="a picture of"):
        read(packed)


def test_a_broken_picture_is_named(class_folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr("cat/bad.png", b"hello")
        archive.write(next(class_folder.glob("cat/*.png")), "dog/0.png")
    with pytest.raises(DataError, match=r"s\.zip, record cat/bad\.png: this is not a picture"):
        read(tmp_path / "s.zip").array()
    assert np.count_nonzero(read(tmp_path / "s.zip").sizes[:, 0]) == 1
