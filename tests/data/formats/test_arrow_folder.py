from __future__ import annotations

import json
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.conftest import assert_one_line, png_bytes
from unpoison.core.errors import DataError, SettingsError, UnpoisonError, UnsafeFileError
from unpoison.data import detect_format, read, set_bad_aside, write

datasets = pytest.importorskip("datasets")
pa = pytest.importorskip("pyarrow")
datasets.disable_progress_bars()


@pytest.fixture
def dataset(tmp_path, small_set):
    """`small_set` as Hugging Face sees it, with a column more."""
    write(small_set, tmp_path / "source.parquet")
    made = datasets.Dataset.from_parquet(str(tmp_path / "source.parquet"), cache_dir=str(tmp_path / "cache"))
    return made.add_column("note", [f"n{row}" for row in range(len(made))])


def test_saved_dataset(tmp_path, small_set, dataset):
    dataset.save_to_disk(tmp_path / "saved", num_shards=3)
    assert detect_format(tmp_path / "saved") == "arrow"
    image_set = read(tmp_path / "saved")
    assert (image_set.name, image_set.format) == ("saved", "arrow")
    stems = tuple(image_id.rsplit("/", 1)[1] for image_id in small_set.ids)  # save_to_disk keeps no folders
    assert (image_set.ids, image_set.class_names) == (stems, small_set.class_names)
    assert image_set.labels.tolist() == small_set.labels.tolist()
    assert image_set.content_hash == small_set.content_hash


def test_selected_rows_and_splits(tmp_path, small_set, dataset):
    parts = {"train": dataset.select([5, 1, 9]), "test": dataset.select([2])}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    assert read(tmp_path / "saved").ids == ("05", "01", "09")
    assert read(f"{tmp_path}/saved#test").ids == ("02",)
    with pytest.raises(SettingsError, match="choose from train, test"):
        read(f"{tmp_path}/saved#none")
    with pytest.raises(SettingsError, match="no split"):
        read(f"{tmp_path}/saved/test#train")


def test_names_that_leave_the_folder_are_refused(tmp_path, dataset):
    dataset.save_to_disk(tmp_path / "saved")
    for name in ("../source.parquet", "/etc/passwd", "..", 7):
        (tmp_path / "saved/state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
        with pytest.raises(UnsafeFileError) as caught:
            read(tmp_path / "saved")
        assert_one_line(caught.value, "state.json", "no file of this folder")


@pytest.mark.parametrize("state", ["", "[]", '{"_data_files": 3}', '{"_data_files": [{}]}', "[" * 100_000])
def test_broken_state(tmp_path, dataset, state):
    dataset.save_to_disk(tmp_path / "saved")
    (tmp_path / "saved/state.json").write_text(state)
    with pytest.raises(DataError) as caught:
        read(tmp_path / "saved")
    assert_one_line(caught.value, "state.json", "save_to_disk")


def _write_stream(path, table):
    path.parent.mkdir(exist_ok=True)
    (path.parent / "state.json").write_text(json.dumps({"_data_files": [{"filename": path.name}]}))
    with pa.ipc.new_stream(str(path), table.schema) as stream:
        stream.write_table(table)


def test_wrong_contents(tmp_path):
    path = tmp_path / "saved/data.arrow"
    _write_stream(path, pa.table({"image": ["a"], "label": [0]}))
    with pytest.raises(DataError, match="no fitting column image or img"):
        read(tmp_path / "saved")
    _write_stream(path, pa.table({"image": pa.array([], pa.struct([("bytes", pa.binary())])), "label": []}))
    with pytest.raises(DataError, match="there are no rows"):
        read(tmp_path / "saved")
    _write_stream(path, pa.table({"image": [{"bytes": png_bytes()}, {"bytes": b"no"}], "label": [0, 0]}))
    _, bad = set_bad_aside(read(tmp_path / "saved"))
    assert_one_line(bad[0], "data.arrow, record 1", "not a picture")
    path.write_bytes(b"hello")
    with pytest.raises(DataError) as caught:
        read(tmp_path / "saved")
    assert_one_line(caught.value, "data.arrow", "not an arrow file", "Save the set again")
    path.unlink()
    with pytest.raises(DataError, match=r"data\.arrow"):
        read(tmp_path / "saved")


def test_a_column_twice(tmp_path):
    picture = pa.array([{"bytes": png_bytes()}])
    columns = [picture, picture, pa.array([0])]
    _write_stream(tmp_path / "saved/data.arrow", pa.Table.from_arrays(columns, ["image", "image", "label"]))
    with pytest.raises(DataError) as caught:
        read(tmp_path / "saved")
    assert_one_line(caught.value, "saved", "the column image twice")


def test_shards_of_different_columns(tmp_path):
    for name, column in (("a", "image"), ("b", "picture")):
        _write_stream(tmp_path / f"saved/{name}.arrow", pa.table({column: [{"bytes": png_bytes()}], "label": [0]}))
    (tmp_path / "saved/state.json").write_text('{"_data_files": [{"filename": "a.arrow"}, {"filename": "b.arrow"}]}')
    with pytest.raises(DataError, match=r"b\.arrow: its columns are not those of a\.arrow"):
        read(tmp_path / "saved")


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_broken_files_only_raise_our_errors(tmp_path_factory, data):
    """Changed bytes of a stream must neither crash the process nor read what is not in the file."""
    folder = tmp_path_factory.getbasetemp() / "broken"
    shutil.rmtree(folder, ignore_errors=True)
    pictures = [{"bytes": png_bytes(), "path": f"{row}.png"} for row in range(3)]
    _write_stream(folder / "data.arrow", pa.table({"image": pictures, "label": [0, 1, 0]}))
    raw = bytearray((folder / "data.arrow").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (folder / "data.arrow").write_bytes(raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw)
    try:
        set_bad_aside(read(folder))
    except UnpoisonError as error:
        assert_one_line(error, "broken")
