from __future__ import annotations

import errno
import os
import shutil

import numpy as np
import pytest
from PIL import Image, features

from data.conftest import assert_one_line, png_bytes
from unpoison.core.errors import DataError, RunError, SettingsError, UnsafeFileError
from unpoison.core.images import ArrayImageSet
from unpoison.core.notes import DataWarning
from unpoison.data import bad_pictures_together, open_writer, read, set_bad_aside, write


def test_ids_labels_and_other_files(class_folder):
    (class_folder / "dog" / "deep").mkdir()
    Image.new("L", (7, 2)).save(class_folder / "dog" / "deep" / "x.y.JPG")
    (class_folder / "dog" / "notes.txt").write_text("hello")
    (class_folder / "shopping.pdf").write_text("")
    for ours in ("manifest.json", "changes.html", "class_names.txt"):
        (class_folder / ours).write_text("cat\ndog\n")
    (class_folder / ".hidden").mkdir()
    (class_folder / "dog" / ".ipynb_checkpoints").mkdir()
    Image.new("L", (7, 2)).save(class_folder / "dog" / ".ipynb_checkpoints" / "0-checkpoint.png")
    left_alone = "no pictures, left alone: 3 .dog/.ipynb_checkpoints/0-checkpoint.png, dog/notes.txt, shopping.pdf"
    with pytest.warns(DataWarning, match=left_alone):
        image_set = read(class_folder)
    assert image_set.ids == ("cat/0", "cat/1", "dog/0", "dog/1", "dog/deep/x.y")
    assert image_set.labels.tolist() == [0, 0, 1, 1, 1]
    assert image_set.class_names == ("cat", "dog")
    assert (image_set.name, image_set.format) == ("pictures", "folder")
    assert [note.count for note in image_set.subset([0]).notes] == [3]
    assert image_set.sizes[-1].tolist() == [2, 7]
    assert image_set.picture(4).mode == "L"


def test_split_is_a_folder(class_folder):
    assert read(f"{class_folder.parent}#pictures").ids == read(class_folder).ids
    with pytest.raises(DataError, match="no such folder"):
        read(f"{class_folder}#none")


def test_rows_are_those_of_image_folder(tmp_path):
    """What others keep by row, such as noise, is in that order."""
    names = ["cat/img.png", "cat/img (1).png", "cat/img-2.png", "cat/sub/a.png", "cat/z.png", "cat-2/img.png"]
    for name in names:
        (tmp_path / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(tmp_path / "src" / name)
    classes = ["cat", "cat-2"]  # as torchvision's make_dataset goes about it
    walked = [
        os.path.relpath(os.path.join(parent, file), tmp_path / "src")
        for class_name in classes
        for parent, _, files in sorted(os.walk(tmp_path / "src" / class_name))
        for file in sorted(files)
    ]
    assert list(read(tmp_path / "src").files) == walked


def test_folders_called_like_splits_are_no_classes(class_folder, tmp_path):
    for split in ("train", "Test"):
        shutil.copytree(class_folder, tmp_path / "set" / split)
    with pytest.warns(DataWarning, match=r"splits beside train, not read; SRC#NAME reads one: 1 \(Test\)"):
        image_set = read(tmp_path / "set")
    assert image_set.class_names == ("cat", "dog")
    assert len(read(f"{tmp_path}/set#Test")) == 4
    shutil.rmtree(tmp_path / "set" / "train")
    with pytest.raises(SettingsError, match="no split 'train'; choose from Test"):
        read(tmp_path / "set")


def test_a_target_inside_the_source_would_become_a_class(class_folder):
    with pytest.raises(SettingsError, match=r"purified lies in .*pictures, and would be a part of that set"):
        write(read(class_folder).subset([0, 2]), class_folder / "purified")


def test_names_that_are_no_text_are_refused(class_folder):
    os.rename(class_folder / "cat" / "0.png", os.fsencode(class_folder / "cat") + b"/caf\xe9.png")
    with pytest.raises(DataError) as caught:
        read(class_folder)
    assert_one_line(caught.value, "caf\\udce9", "not UTF-8", "Rename it")


@pytest.mark.parametrize("suffix", [".jfif", ".JPE", ".pjpeg"])
def test_other_suffixes_of_jpeg(class_folder, suffix):
    Image.new("RGB", (4, 3)).save(class_folder / "cat" / f"web{suffix}", "JPEG")
    assert "cat/web" in read(class_folder).ids


def test_what_is_left_of_a_picture_is_said(class_folder, tmp_path):
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    frames[0].save(class_folder / "cat" / "moving.gif", save_all=True, append_images=frames[1:])
    with pytest.warns(DataWarning, match="pictures: pictures of several frames, of which the first was taken: 1"):
        notes = write(read(class_folder), tmp_path / "out")
    assert [note.count for note in notes] == [1]


def test_avif(class_folder):
    if not features.check("avif"):
        pytest.skip("this build of Pillow reads no AVIF")
    pixels = np.full((9, 7, 3), (200, 90, 30), np.uint8)
    Image.fromarray(pixels).save(class_folder / "cat" / "new.avif", quality=95)
    image_set = read(class_folder)
    row = image_set.ids.index("cat/new")
    assert image_set.sizes[row].tolist() == [9, 7]
    assert np.abs(image_set.picture(row).rgb.astype(int) - pixels).max() < 8
    (class_folder / "cat" / "new.avif").write_bytes((class_folder / "cat" / "new.avif").read_bytes()[:200])
    with pytest.raises(DataError, match=r"new\.avif"):
        read(class_folder).array()


def test_a_link_to_itself_is_a_bad_picture(class_folder):
    (class_folder / "cat" / "loop.png").symlink_to("loop.png")
    with pytest.raises(DataError) as caught:
        read(class_folder).array()
    assert_one_line(caught.value, "loop.png", "cannot be read")


def test_classes_of_one_name_cannot_be_folders(tmp_path):
    twins = ArrayImageSet(np.zeros((3, 2, 2, 3), np.uint8), [0, 1, 2], class_names=["crane", "cat", "crane"])
    with pytest.raises(SettingsError, match="several classes 'crane'"):
        write(twins, tmp_path / "out")
    assert twins.count_per_class() == {"crane (class 0)": 1, "cat": 1, "crane (class 2)": 1}


def test_rows_may_be_sliced(class_folder):
    assert read(f"{class_folder}[1:-1]").ids == ("cat/1", "dog/0")
    assert read(f"{class_folder}[:2]").format == "folder"


def test_empty_class(class_folder):
    (class_folder / "emu").mkdir()
    (class_folder / "emu" / "readme.md").write_text("")
    with pytest.raises(DataError) as caught:
        read(class_folder)
    assert_one_line(caught.value, "emu", "no pictures", "Remove it or fill it")


def test_id_clash(class_folder):
    Image.new("RGB", (4, 3)).save(class_folder / "cat" / "0.jpg")
    with pytest.raises(DataError) as caught:
        read(class_folder)
    assert_one_line(caught.value, "pictures", "cat/0", "Rename one")


def test_links(class_folder, tmp_path):
    (tmp_path / "secret.png").write_bytes(png_bytes())
    (class_folder / "cat" / "inside.png").symlink_to(class_folder / "dog" / "0.png")
    assert "cat/inside" in read(class_folder).ids
    for target in (tmp_path / "secret.png", tmp_path, class_folder / "dog"):
        link = class_folder / "cat" / "link.png"
        link.symlink_to(target)
        with pytest.raises(UnsafeFileError) as caught:
            read(class_folder)
        assert_one_line(caught.value, "link.png", "Replace it by a copy")
        link.unlink()
    (class_folder / "emu").symlink_to(tmp_path)
    with pytest.raises(UnsafeFileError, match="emu"):
        read(class_folder)


def test_no_classes(tmp_path):
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match="no class folders"):
        read(tmp_path)
    for name in ("one.png", "two.jpg"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert_one_line(caught.value, "holds 2 pictures, but no class folders", "all into one folder in it")
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "none")


def test_bad_pictures_are_named_and_set_aside(class_folder):
    (class_folder / "cat" / "bad.png").write_bytes(b"hello")
    whole = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 30, 3), np.uint8))
    whole.save(class_folder / "dog" / "cut.png")
    data = (class_folder / "dog" / "cut.png").read_bytes()
    (class_folder / "dog" / "cut.png").write_bytes(data[:1000])
    image_set = read(class_folder)
    good, bad = set_bad_aside(image_set)
    assert good.ids == ("cat/0", "cat/1", "dog/0", "dog/1")
    assert_one_line(bad[0], "cat/bad.png", "not a picture", "Remove or replace it")
    assert_one_line(bad[1], "dog/cut.png", "broken", "Remove or replace it")
    assert set_bad_aside(good) == (good, [])
    with pytest.raises(DataError, match=r"bad\.png"):
        image_set.array()
    (class_folder / "dog" / "worse.png").write_bytes(b"hello")
    with pytest.raises(DataError) as caught:
        read(class_folder).array()
    assert_one_line(caught.value, "2 pictures cannot be read", "cat/bad.png", "dog/worse.png", "Remove or replace them")
    with pytest.raises(DataError, match=r"2 pictures .*bad\.png .*cut\.png .*--skip-bad"):
        _end_at_the_first(image_set)
    with pytest.raises(DataError, match="of another kind"), bad_pictures_together(good, remedy="none"):
        raise DataError("x", "of another kind", "")


def _end_at_the_first(image_set):
    with bad_pictures_together(image_set, remedy="Give --skip-bad"):
        image_set.picture(image_set.ids.index("cat/bad"))


def test_a_bad_picture_leaves_nothing_behind(class_folder, tmp_path):
    (class_folder / "dog" / "bad.png").write_bytes(b"hello")
    before = sorted(tmp_path.iterdir())
    for name in ("folder", "x.npz", "x.parquet"):
        with pytest.raises((DataError, SettingsError)):
            write(read(class_folder), tmp_path / name)
        assert sorted(tmp_path.iterdir()) == before


def test_written_folder_keeps_ids_grey_and_alpha(tmp_path, class_folder):
    Image.new("LA", (4, 3), (9, 77)).save(class_folder / "cat" / "grey.png")
    source = read(class_folder)
    write(source, tmp_path / "copy")
    copy = read(tmp_path / "copy")
    assert (copy.ids, copy.class_names, copy.content_hash) == (source.ids, source.class_names, source.content_hash)
    picture = copy.picture(copy.ids.index("cat/grey"))
    assert picture.mode == "LA"
    assert (picture.alpha == 77).all()
    assert not (tmp_path / "copy" / "class_names.txt").exists()


def test_plain_rows_go_below_their_class(tmp_path):
    images = np.zeros((3, 2, 2, 3), np.uint8)
    source = ArrayImageSet(images, [2, 0, 2], class_names=["zebra", "empty", "ant"])
    write(source, tmp_path / "out")
    copy = read(tmp_path / "out")
    assert copy.ids == ("ant/00000000", "ant/00000002", "zebra/00000001")
    assert copy.class_names == source.class_names
    assert copy.labels.tolist() == [2, 2, 0]


@pytest.mark.parametrize("image_id", ["../x", "/x", "a//b", "a/../../x", "", "a\\b", "a\0b"])
def test_ids_that_are_no_paths_are_refused(tmp_path, image_id):
    source = ArrayImageSet(np.zeros((1, 2, 2, 3), np.uint8), [0], class_names=["cat"], ids=[image_id])
    with pytest.raises(DataError) as caught:
        write(source, tmp_path / "sub" / "out")
    assert_one_line(caught.value, "cannot be a path", "Rename it")
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("class_name", ["..", "a/b", "", " cat"])
def test_class_names_that_are_no_folders_are_refused(tmp_path, class_name):
    source = ArrayImageSet(np.zeros((1, 2, 2, 3), np.uint8), [0], class_names=[class_name])
    with pytest.raises((DataError, SettingsError)):
        write(source, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_unlabelled_pictures_are_refused(tmp_path):
    source = ArrayImageSet(np.zeros((1, 2, 2, 3), np.uint8), [-1])
    with pytest.raises(SettingsError, match="without label"):
        write(source, tmp_path / "out")


def test_class_file_must_name_every_folder(class_folder):
    (class_folder / "class_names.txt").write_text("dog\nnobody\ncat\n")
    assert read(class_folder).labels.tolist() == [2, 2, 0, 0]
    (class_folder / "class_names.txt").write_text("dog\n")
    with pytest.raises(DataError, match="does not name the folder 'cat'"):
        read(class_folder)


def test_writer_refuses_existing_targets_gaps_and_missing_rows(tmp_path, small_set):
    (tmp_path / "there").mkdir()
    with pytest.raises(RunError, match="is already there"):
        open_writer(tmp_path / "there", "folder", source=small_set)
    pictures = small_set.load(range(12))
    with (
        pytest.raises(ValueError, match="row 1 is next, got 2"),
        open_writer(tmp_path / "out", None, source=small_set) as writer,
    ):
        writer.add([0, 2], [pictures[0], pictures[2]])
    writer = open_writer(tmp_path / "out", None, source=small_set)
    writer.add([0], pictures[:1])
    with pytest.raises(RunError, match="1 of 12"):
        writer.close()
    assert os.listdir(tmp_path) == ["there"]


def test_what_a_killed_run_left_is_replaced(tmp_path, small_set):
    unfinished = tmp_path / "out.partial" / "assembled" / ".out.tmp"
    unfinished.mkdir(parents=True)
    (unfinished / "old.png").write_text("")
    write(small_set, tmp_path / "out")
    assert os.listdir(tmp_path) == ["out"]
    assert not (tmp_path / "out" / "old.png").exists()


def test_a_header_beyond_the_first_bytes_is_found(class_folder):
    exif = Image.Exif()
    exif[0x9286] = "x" * 60_000  # a comment as long as a segment may be
    path = class_folder / "dog" / "2.jpg"
    Image.new("RGB", (30, 20)).save(path, exif=exif, icc_profile=bytes(200_000))
    assert path.stat().st_size > 200_000
    image_set = read(class_folder)
    assert image_set.sizes[-1].tolist() == [20, 30]
    assert image_set.picture(4).rgb.shape == (20, 30, 3)


@pytest.mark.parametrize("hidden", ["pictures", "pictures/cat", "pictures/cat/deep"])
def test_a_folder_that_cannot_be_listed(class_folder, monkeypatch, hidden):
    """Nothing is read rather than a part; root may list everything, so the error is made here."""
    (class_folder / "cat" / "deep").mkdir()
    closed = class_folder.parent / hidden
    scan = os.scandir

    def scandir(path):
        if os.path.realpath(path) == os.path.realpath(closed):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(os, "listdir", lambda path: [entry.name for entry in scandir(path)])
    with pytest.raises(DataError, match=rf"{closed.name}: it cannot be read \(Permission denied\)"):
        read(class_folder)
