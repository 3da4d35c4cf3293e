"""CINIC-10, Tiny-ImageNet and STL-10, written here in their official layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.conftest import assert_one_line
from unpoison.core.errors import DataError, SettingsError, UnsafeFileError
from unpoison.data import detect_format, read, write
from unpoison.data.class_names import CIFAR10

RNG = np.random.default_rng(0)
WNIDS = ("n02124075", "n01443537", "n04067472")  # as in wnids.txt, not sorted


def picture(path: Path, side: int = 8) -> np.ndarray:
    pixels = RNG.integers(0, 256, (side, side, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path.with_suffix(".png"))
    path.with_suffix(".png").rename(path)  # pixels must come back exactly, also under the names of JPEG files
    return pixels


@pytest.fixture
def cinic10(tmp_path):
    """A root whose own name says cifar10, which must not matter."""
    root = tmp_path / "cifar10" / "cinic"
    for part in ("train", "valid", "test"):
        for number, name in enumerate(CIFAR10):
            picture(root / part / name / f"n0270{number}093_10{number}.png")
            picture(root / part / name / f"n0270{number}093_11.png")
            picture(root / part / name / f"cifar10-train-{number}.png")
    return root


def test_cinic_by_part_and_by_origin(cinic10):
    assert detect_format(cinic10) == "cinic10"
    whole = read(cinic10)
    assert (len(whole), whole.class_names, whole.format, whole.name) == (30, CIFAR10, "cinic10", "cinic")
    for part in ("train", "valid", "test"):
        imagenet, cifar = read(f"{cinic10}#{part}-imagenet"), read(f"{cinic10}#{part}-cifar10")
        assert imagenet.count_per_class() == dict.fromkeys(CIFAR10, 2)
        assert cifar.count_per_class() == dict.fromkeys(CIFAR10, 1)
        assert all("/n0270" in image_id for image_id in imagenet.ids)
        assert all("/cifar10-train-" in image_id for image_id in cifar.ids)
        assert set(imagenet.ids) | set(cifar.ids) == set(read(f"{cinic10}#{part}").ids)
    assert imagenet.format == "cinic10"
    assert len(read(f"{cinic10}#train-imagenet[:5]")) == 5


def test_cinic_with_files_of_other_programs_in_it(cinic10):
    for number in range(9):
        (cinic10 / "train" / "airplane" / f"._{number}").write_bytes(b"")
    assert detect_format(cinic10) == "cinic10"


def test_cinic_that_is_not_what_it_says(cinic10, tmp_path):
    with pytest.raises(SettingsError, match="no split 'val'; choose from train, valid, test, train-imagenet"):
        read(f"{cinic10}#val")
    picture(cinic10 / "train" / "cat" / "kitten.png")
    assert len(read(cinic10)) == 31
    with pytest.raises(DataError) as caught:
        read(f"{cinic10}#train-imagenet")
    assert_one_line(caught.value, "cat/kitten", "does not say whether")
    picture(cinic10 / "test" / "cow" / "n02708093_1.png")
    with pytest.raises(DataError, match="'cow' is missing, or is no class of CINIC-10"):
        read(f"{cinic10}#test")
    (cinic10 / "valid" / "dog" / "n02708093_9.png").symlink_to(tmp_path / "elsewhere.png")
    (tmp_path / "elsewhere.png").write_bytes(b"")
    with pytest.raises(UnsafeFileError, match="leads out"):
        read(f"{cinic10}#valid")


@pytest.fixture
def tiny(tmp_path):
    root = tmp_path / "tiny-imagenet-200"
    for wnid in WNIDS:
        for number in (0, 1, 10, 2):
            picture(root / "train" / wnid / "images" / f"{wnid}_{number}.JPEG")
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t0\t7\t7\n")
    lines = []
    for number, wnid in enumerate((*WNIDS, WNIDS[0])):
        picture(root / "val" / "images" / f"val_{number}.JPEG")
        lines.append(f"val_{number}.JPEG\t{wnid}\t0\t32\t44\t62\n")
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    picture(root / "test" / "images" / "test_0.JPEG")
    (root / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in WNIDS))
    (root / "words.txt").write_text("n00001740\tentity\n")
    return root


def test_tiny_imagenet(tiny):
    assert detect_format(tiny) == "tiny-imagenet"
    train, val, test = (read(f"{tiny}#{part}") for part in ("train", "val", "test"))
    assert train.class_names == val.class_names == tuple(sorted(WNIDS))
    assert (train.name, train.format) == ("tiny-imagenet-200", "tiny-imagenet")
    assert train.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    order = [image_id.rpartition("_")[2] for image_id in train.ids[:4]]
    assert order == ["0", "1", "10", "2"]  # that of a folder sorted by name
    assert train.ids[0] == "n01443537/images/n01443537_0"
    assert val.ids == ("val_0", "val_1", "val_2", "val_3")
    assert val.labels.tolist() == [1, 0, 2, 1]
    assert test.labels.tolist() == [-1]
    np.testing.assert_array_equal(
        val.load([1])[0], np.asarray(Image.open(tiny / "val" / "images" / "val_1.JPEG"), np.uint8)
    )
    assert read(tiny).content_hash == train.content_hash


def test_tiny_imagenet_is_the_set_that_the_hub_stores(tiny, tmp_path):
    folders = read(tiny)
    write(folders, tmp_path / "train.parquet")
    assert read(tmp_path / "train.parquet").content_hash == folders.content_hash
    assert read(tmp_path / "train.parquet").class_names == folders.class_names


@pytest.mark.parametrize(
    ("line", "kind", "problem"),
    [
        ("val_0.JPEG\tn09999999\t0\t0\t1\t1", DataError, "'n09999999' is no class"),
        ("val_0.JPEG", DataError, "'' is no class"),
        ("val_7.JPEG\tn01443537\t0\t0\t1\t1", DataError, "no picture 'val_7.JPEG'"),
        ("../../secret.JPEG\tn01443537\t0\t0\t1\t1", UnsafeFileError, "leaves the folder"),
        ("..\\secret.JPEG\tn01443537", UnsafeFileError, "leaves the folder"),
        ("val_1.JPEG\tn01443537\t0\t0\t1\t1", DataError, "'val_1.JPEG' twice"),
    ],
)
def test_wrong_annotations(tiny, line, kind, problem):
    file = tiny / "val" / "val_annotations.txt"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[1:], line]))
    with pytest.raises(kind) as caught:
        read(f"{tiny}#val")
    assert_one_line(caught.value, "val_annotations.txt, record line 4", problem)


def test_annotations_that_end_early(tiny):
    file = tiny / "val" / "val_annotations.txt"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(DataError, match=r"says nothing of 'val_2\.JPEG'"):
        read(f"{tiny}#val")
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not text"):
        read(f"{tiny}#val")


@pytest.mark.parametrize(
    ("wnids", "problem"),
    [
        ("n01443537\n../../etc\n", "'../../etc' is no WordNet id"),
        ("n01443537\nn01443537\n", "names a class twice"),
        ("n01443537\nn09999999\n", "n09999999/images: there is no such folder"),
        ("\n", "it is empty"),
    ],
)
def test_wrong_classes(tiny, wnids, problem):
    (tiny / "wnids.txt").write_text(wnids)
    with pytest.raises(DataError) as caught:
        read(tiny)
    assert_one_line(caught.value, problem)


def test_folders_of_tiny_imagenet_that_lead_elsewhere(tiny, tmp_path):
    folder = tiny / "train" / WNIDS[0]
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeFileError, match="leads out of the folder"):
        read(tiny)


PIXELS = RNG.integers(0, 256, (5, 96, 96, 3), np.uint8)


@pytest.fixture
def stl10(tmp_path):
    root = tmp_path / "stl10_binary"
    root.mkdir()
    for part in ("train", "test", "unlabeled"):
        # By columns: the file runs down the first column of red, then down the second.
        (root / f"{part}_X.bin").write_bytes(PIXELS.transpose(0, 3, 2, 1).tobytes())
    (root / "train_y.bin").write_bytes(bytes([1, 10, 3, 2, 10]))
    (root / "test_y.bin").write_bytes(bytes([2, 2, 2, 2, 2]))
    (root / "class_names.txt").write_text("airplane\nbird\ncar\ncat\ndeer\ndog\nhorse\nmonkey\nship\ntruck\n")
    (root / "fold_indices.txt").write_text("0 1\n")
    return root


def test_stl10(stl10):
    assert detect_format(stl10) == "stl10"
    train = read(stl10)
    assert train.labels.tolist() == [0, 9, 2, 1, 9]
    assert train.class_names[7] == "monkey"
    assert (train.name, train.format) == ("stl10_binary", "stl10")
    np.testing.assert_array_equal(train.array(), PIXELS)
    np.testing.assert_array_equal(train.picture(-1).rgb, PIXELS[-1])
    assert read(f"{stl10}#test").labels.tolist() == [1] * 5
    unlabelled = read(f"{stl10}#unlabeled[2:]")
    assert unlabelled.labels.tolist() == [-1] * 3
    np.testing.assert_array_equal(unlabelled.array(), PIXELS[2:])
    stamp = train.stamp(range(2))
    (stl10 / "train_X.bin").write_bytes(PIXELS.tobytes() + PIXELS[0].tobytes())
    assert train.stamp(range(2)) != stamp
    (stl10 / "class_names.txt").unlink()
    assert read(f"{stl10}#test").class_names[2] == "car"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("train_X.bin", PIXELS.tobytes()[:-1], "138239 bytes are not whole pictures of 27648"),
        ("train_X.bin", b"", "0 bytes are not whole pictures"),
        ("train_X.bin", PIXELS[:4].tobytes(), "5 labels for 4 pictures"),
        ("train_y.bin", bytes([1, 2, 3, 4]), "4 labels for 5 pictures"),
        ("train_y.bin", bytes([1, 2, 0, 4, 5]), "train_y.bin, record 2: label 0 is outside 1 to 10"),
        ("train_y.bin", bytes([1, 2, 3, 4, 11]), "record 4: label 11 is outside 1 to 10"),
        ("class_names.txt", b"one two", "names 2 classes, not 10"),
    ],
)
def test_wrong_files_of_stl10(stl10, name, content, problem):
    (stl10 / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(stl10)
    assert_one_line(caught.value, problem)


def test_stl10_that_is_incomplete_or_cut_short_later(stl10):
    train = read(stl10)
    (stl10 / "train_X.bin").write_bytes(PIXELS.tobytes()[:-1])
    with pytest.raises(DataError, match="record 4: the file is cut short"):
        train.picture(4)
    for name in ("test_X.bin", "train_y.bin"):
        (stl10 / name).unlink()
        part = name.split("_")[0]
        (stl10 / "train_X.bin").write_bytes(PIXELS.tobytes())
        with pytest.raises(DataError, match=rf"{name}: there is no such file"):
            read(f"{stl10}#{part}")
