from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from data.conftest import assert_one_line, png_bytes
from unpoison.core.errors import SettingsError
from unpoison.core.notes import DataWarning
from unpoison.data import read, set_bad_aside, write
from unpoison.data.formats.huggingface import replace_pictures

datasets = pytest.importorskip("datasets")
datasets.disable_progress_bars()

FEATURES = datasets.Features(
    {
        "note": datasets.Value("string"),
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=["cat", "dog", "emu"]),
    }
)


@pytest.fixture
def dataset(small_set):
    """`small_set` in memory, with a column more and no file names."""
    rows = {
        "note": [f"n{row}" for row in range(len(small_set))],
        "image": [Image.fromarray(picture) for picture in small_set.images],
        "label": small_set.labels.tolist(),
    }
    return datasets.Dataset.from_dict(rows, features=FEATURES)


def test_rows_names_and_pixels(dataset, small_set):
    image_set = read(dataset)
    assert (image_set.name, image_set.format) == ("Dataset", "huggingface")
    assert image_set.ids == tuple(f"{row:08d}" for row in range(len(small_set)))
    assert image_set.class_names == small_set.class_names
    assert image_set.content_hash == small_set.content_hash
    assert read(dataset.with_format("torch")).content_hash == small_set.content_hash
    assert read(dataset.select([4, 2])).labels.tolist() == small_set.labels[[4, 2]].tolist()


def test_ids_are_those_of_the_file(tmp_path, small_set):
    write(small_set, tmp_path / "x.parquet")
    loaded = datasets.Dataset.from_parquet(str(tmp_path / "x.parquet"), cache_dir=str(tmp_path / "cache"))
    assert read(loaded).ids == read(tmp_path / "x.parquet").ids == small_set.ids


def test_labels_of_other_kinds(dataset):
    numbers = dataset.cast_column("label", datasets.Value("uint8"))
    assert read(numbers).class_names == ("0", "1", "2")
    renamed = dataset.rename_column("label", "animal")
    assert read(renamed).class_names == ("cat", "dog", "emu")
    without = read(dataset.remove_columns("label"))
    assert (set(without.labels.tolist()), without.class_names) == ({-1}, ())
    texts = read(dataset.remove_columns("label").rename_column("note", "label"))
    assert texts.class_names[:3] == ("n0", "n1", "n10")
    several = dataset.remove_columns("label").add_column("label", [[0, 1]] * len(dataset))
    with pytest.warns(DataWarning, match="labels that are no class but list, taken as unknown: 12"):
        assert set(read(several).labels.tolist()) == {-1}


def test_a_file_of_it_keeps_the_columns(dataset, tmp_path):
    write(read(dataset).subset([7, 3]), tmp_path / "x.parquet")
    loaded = datasets.Dataset.from_parquet(str(tmp_path / "x.parquet"), cache_dir=str(tmp_path / "cache"))
    assert loaded.features == dataset.features
    assert (loaded["note"][:], loaded["label"][:]) == (["n7", "n3"], dataset.select([7, 3])["label"][:])


def test_columns_of_pictures(dataset):
    with pytest.raises(SettingsError, match="0 columns of pictures"):
        read(dataset.remove_columns("image"))
    twice = dataset.rename_column("image", "a").add_column("b", dataset.to_dict()["image"], feature=datasets.Image())
    with pytest.raises(SettingsError, match="2 columns of pictures"):
        read(twice)
    assert len(read(twice.rename_column("b", "img"))) == 12


def test_bad_rows_are_named(tmp_path):
    Image.new("RGB", (3, 2)).save(tmp_path / "there.png")
    rows = [
        {"bytes": png_bytes(), "path": None},
        {"bytes": b"hello", "path": None},
        {"bytes": None, "path": str(tmp_path / "there.png")},
        {"bytes": None, "path": str(tmp_path / "gone.png")},
        None,
    ]
    made = datasets.Dataset.from_dict({"image": rows}, features=datasets.Features({"image": datasets.Image()}))
    good, bad = set_bad_aside(read(made))
    assert good.ids == ("00000000", "00000002")
    assert_one_line(bad[0], "Dataset, record 1", "not a picture")
    assert_one_line(bad[1], "Dataset, record 3", "not embedded")
    assert_one_line(bad[2], "Dataset, record 4", "not embedded")


def test_stamps_follow_the_pictures(dataset):
    stamps = [read(dataset.select(rows)).stamp(range(2)) for rows in ([0, 1, 2], [0, 1, 5], [0, 2, 1])]
    assert stamps[0] == stamps[1] != stamps[2]


@pytest.mark.parametrize("feature", [datasets.Image(mode="L"), datasets.Image(decode=False), datasets.Image()])
def test_replacing_where_there_is_nothing_else(dataset, feature):
    alone = dataset.select([7, 3]).select_columns("image").cast_column("image", feature)
    replaced = replace_pictures(alone, [png_bytes((5, 5)), png_bytes((2, 2))], ["a", "b"])
    assert (replaced.features, len(replaced)) == (alone.features, 2)


@pytest.mark.parametrize("form", [None, "numpy"])
def test_replacing_keeps_everything_else(dataset, form):
    dataset = dataset.select([7, 3]).with_format(form, columns=["label", "image"])
    replaced = replace_pictures(dataset, [png_bytes((5, 5)), png_bytes((2, 2))], ["a", "b"])
    assert replaced.column_names == dataset.column_names
    assert replaced.features == dataset.features
    assert replaced.format == dataset.format
    plain = replaced.with_format(None)
    assert plain["note"][:] == ["n7", "n3"]
    assert [image.size for image in plain["image"][:]] == [(5, 5), (2, 2)]
    with Image.open(io.BytesIO(png_bytes((5, 5)))) as expected:
        assert np.array_equal(np.asarray(plain[0]["image"]), np.asarray(expected))


def test_other_objects_are_refused(dataset):
    with pytest.raises(SettingsError, match="choose one of train, test"):
        read(datasets.DatasetDict(train=dataset, test=dataset))
    with pytest.raises(SettingsError, match="cannot be read twice"):
        read(dataset.to_iterable_dataset())
    with pytest.raises(SettingsError, match="a int is no image set"):
        read(3)
