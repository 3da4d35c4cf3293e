from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from data.conftest import assert_one_line
from unpoison.core.errors import DataError, SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.core.notes import DataWarning, Note
from unpoison.data import read, write


@pytest.fixture
def numbered(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    for number in range(11):
        Image.new("RGB", (2, 2), (number, 0, 0)).save(root / f"{number}.png")
    (root / "readme.txt").write_text("")
    return root


def test_order_is_numeric_and_labels_come_from_a_second_set(numbered, small_set):
    image_set = read(numbered)
    assert image_set.format == "numbered"
    assert image_set.ids == tuple(str(number) for number in range(11))
    assert image_set.array()[:, 0, 0, 0].tolist() == list(range(11))
    assert image_set.labels.tolist() == [-1] * 11
    assert image_set.notes == (Note("files that are no pictures, left alone", 1, ("readme.txt",)),)
    labelled = read(numbered, labels_from=small_set)
    assert labelled.labels.tolist() == small_set.labels[:11].tolist()
    assert labelled.class_names == small_set.class_names
    assert read(f"{numbered}[8:]", labels_from=small_set).labels.tolist() == small_set.labels[8:11].tolist()


def test_gaps_keep_their_numbers(numbered, small_set):
    (numbered / "0.png").unlink()
    assert read(numbered, labels_from=small_set).labels.tolist() == small_set.labels[1:11].tolist()


def test_number_beyond_the_labels(numbered, small_set):
    with pytest.raises(DataError) as caught:
        read(numbered, labels_from=small_set.subset(range(3)))
    assert_one_line(caught.value, "10.png", "only 3 labels", "Take the labels")


def test_other_names_and_double_numbers(numbered):
    Image.new("RGB", (2, 2)).save(numbered / "03.png")
    with pytest.raises(DataError, match="same number"):
        read(numbered)
    Image.new("RGB", (2, 2)).save(numbered / "extra.png")
    with pytest.raises(DataError) as caught:
        read(numbered, format="numbered")
    assert_one_line(caught.value, "extra.png", "not a number", "Rename it")


def test_labels_for_another_format(class_folder, small_set):
    with pytest.raises(SettingsError, match="not a flat numbered folder"):
        read(class_folder, labels_from=small_set)


def test_round_trip_keeps_padding(tmp_path, numbered, small_set):
    write(read(numbered), tmp_path / "copy")
    copy = read(tmp_path / "copy")
    assert (copy.format, copy.ids, copy.content_hash) == ("numbered", read(numbered).ids, read(numbered).content_hash)
    plain = ArrayImageSet(np.zeros((2, 2, 2, 3), np.uint8), [0, 0])
    write(plain, tmp_path / "padded", format="numbered")
    assert read(tmp_path / "padded").ids == plain.ids
    write(small_set, tmp_path / "rows", format="numbered")
    assert read(tmp_path / "rows", labels_from=small_set).content_hash == small_set.content_hash


def test_what_numbered_pictures_cannot_hold_is_said(small_set, tmp_path):
    with pytest.warns(DataWarning) as told:
        write(small_set, tmp_path / "out", format="numbered")
    assert [str(one.message).split(": ", 1)[1] for one in told] == [
        "labels that numbered pictures cannot hold, left out; --labels-from takes them from another set: 12",
        "pictures whose names are no numbers, renamed to their row: 12",
    ]
