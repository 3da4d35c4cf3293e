from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.conftest import assert_one_line, png_bytes
from unpoison.core.errors import DataError, SettingsError, UnpoisonError
from unpoison.core.images import ArrayImageSet
from unpoison.core.notes import DataWarning
from unpoison.data import read, set_bad_aside, write

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def _write(path, pictures, labels, *, image="img", label="label", names=None):
    table = pa.table({image: pictures, label: labels})
    if names:
        features = {label: {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, row_group_size=2)


def _pictures(count, path=None):
    return [{"bytes": png_bytes((4, 3 + row % 2)), "path": path and path.format(row)} for row in range(count)]


@pytest.mark.parametrize("image", ["img", "image"])
@pytest.mark.parametrize("label", ["label", "fine_label"])
def test_hub_layout(tmp_path, image, label):
    _write(
        tmp_path / "x.parquet", _pictures(5, "a..b/{}.jpg"), [0, 1, 1, 0, 1], image=image, label=label, names=["p", "q"]
    )
    image_set = read(tmp_path / "x.parquet")
    assert (image_set.name, image_set.format) == ("x.parquet", "parquet")
    assert image_set.ids == tuple(f"a..b/{row}" for row in range(5))
    assert image_set.class_names == ("p", "q")
    assert image_set.labels.tolist() == [0, 1, 1, 0, 1]
    assert image_set.sizes.tolist() == [[3, 4], [4, 4], [3, 4], [4, 4], [3, 4]]
    assert [picture.shape[0] for picture in image_set.load([4, 3, 0])] == [3, 4, 3]
    with pytest.raises(IndexError):
        image_set.picture(5)


@pytest.mark.parametrize("path", [None, "same.png", "/home/me/{}.png", "../{}.png"])
def test_ids_are_rows_where_names_are_missing_alike_or_unsafe(tmp_path, path):
    _write(tmp_path / "x.parquet", _pictures(3, path), [0, 0, 2])
    if path is None:
        image_set = read(tmp_path / "x.parquet")
    else:
        with pytest.warns(DataWarning, match=r"x.parquet: pictures called by their row, .*: 3"):
            image_set = read(tmp_path / "x.parquet")
    assert image_set.ids == ("00000000", "00000001", "00000002")
    assert image_set.class_names == ("0", "1", "2")


def test_shards_and_splits(tmp_path):
    for name, label in (("train-00000-of-00002", 0), ("train-00001-of-00002", 1), ("test-00000-of-00001", 2)):
        _write(tmp_path / f"{name}.parquet", _pictures(3), [label] * 3)
    with pytest.warns(DataWarning, match=r"splits beside train, not read; SRC#NAME reads one: 1 \(test\)"):
        assert read(tmp_path).labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert read(f"{tmp_path}#test").labels.tolist() == [2, 2, 2]
    assert read(f"{tmp_path}#test[:1]").labels.tolist() == [2]
    assert read(f"{tmp_path}/train-*.parquet").labels.tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(SettingsError, match="choose from test, train"):
        read(f"{tmp_path}#none")


def test_wrong_columns(tmp_path):
    for table in ({"picture": _pictures(2), "label": [0, 1]}, {"image": ["a", "b"], "label": [0, 1]}):
        pq.write_table(pa.table(table), tmp_path / "x.parquet")
        with pytest.raises(DataError) as caught:
            read(tmp_path / "x.parquet")
        assert_one_line(caught.value, "x.parquet", "no fitting column image or img", "{bytes, path}")


@pytest.mark.parametrize(
    ("labels", "numbers", "names"),
    [
        (["dog", "cat", "dog"], [1, 0, 1], ("cat", "dog")),
        ([1.0, None, 0.0], [1, -1, 0], ("0", "1")),
        ([[0, 1], [1], []], [-1, -1, -1], ()),
        (None, [-1, -1, -1], ()),
    ],
)
def test_labels_stay_what_they_are(tmp_path, labels, numbers, names):
    """Purifying needs none of them, and tables can hold them all."""
    table = pa.table({"picture_id": [5, 6, 7], "image": _pictures(3)})
    if labels is not None:
        table = table.append_column("label", pa.array(labels))
    pq.write_table(table, tmp_path / "x.parquet")
    image_set = read(tmp_path / "x.parquet")
    assert (image_set.labels.tolist(), image_set.class_names) == (numbers, names)
    write(image_set.subset([2, 0]), tmp_path / "y.parquet")
    copy = pq.read_table(tmp_path / "y.parquet")
    assert copy.column_names == table.column_names
    assert copy.drop_columns(["image"]).equals(table.drop_columns(["image"]).take([2, 0]))


def test_columns_keep_their_names_features_and_order(tmp_path):
    features = {"img": {"_type": "Image", "mode": "L"}, "coarse_label": {"names": ["x", "y"], "_type": "ClassLabel"}}
    table = pa.table({"caption": [f"{row}" for row in range(600)], "img": _pictures(600), "coarse_label": [0, 1] * 300})
    table = table.append_column("fine_label", pa.array(["a", "b", "c"] * 200).dictionary_encode())
    metadata = {"huggingface": json.dumps({"info": {"features": features}}), "author": "me"}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "x.parquet", row_group_size=200)
    image_set = read(tmp_path / "x.parquet")
    assert image_set.class_names == ("a", "b", "c")
    write(image_set, tmp_path / "y.parquet")
    copy = pq.read_table(tmp_path / "y.parquet")
    assert copy.column_names == table.column_names
    assert copy.schema.metadata[b"author"] == b"me"
    assert json.loads(copy.schema.metadata[b"huggingface"])["info"]["features"] == features
    assert copy["caption"].to_pylist() == table["caption"].to_pylist()
    assert copy["fine_label"].to_pylist() == table["fine_label"].to_pylist()
    with pytest.warns(DataWarning, match=r"cannot hold, left out; .parquet keeps them: 2 \(caption, coarse_label\)"):
        write(image_set.subset([0, 2]), tmp_path / "y.npz")


def test_shards_that_number_their_classes_differently(tmp_path):
    for shard, names in enumerate((["cat", "dog"], ["dog", "cat"], ["emu", "dog"])):
        labels = pa.array([0, 1, None], pa.int32())
        _write(tmp_path / f"train-{shard}-of-3.parquet", _pictures(3), labels, names=names)
    with pytest.warns(DataWarning, match="otherwise than train-0-of-3.parquet, matched by name: 2"):
        image_set = read(tmp_path)
    assert image_set.class_names == ("cat", "dog", "emu")
    assert image_set.labels.tolist() == [0, 1, -1, 1, 0, -1, 2, 1, -1]
    write(image_set, tmp_path.parent / f"{tmp_path.name}.parquet")
    copy = read(tmp_path.parent / f"{tmp_path.name}.parquet")
    assert (copy.class_names, copy.labels.tolist()) == (image_set.class_names, image_set.labels.tolist())
    _write(tmp_path / "train-0-of-3.parquet", _pictures(2), [0, 2], names=["cat", "dog"])
    with pytest.raises(DataError, match=r"train-0-of-3.parquet, record label: a label is outside 0 to 1"):
        read(tmp_path)


def test_columns_that_not_every_shard_has(tmp_path):
    for shard, note in enumerate(([1, 2], ["a", "b"])):
        table = pa.table({"image": _pictures(2), "label": [0, 1], "note": note})
        pq.write_table(table, tmp_path / f"train-{shard}-of-2.parquet")
    with pytest.warns(DataWarning, match=r"columns that differ between shards, left out: 1 \(note\)"):
        image_set = read(tmp_path)
    write(image_set, tmp_path.parent / f"{tmp_path.name}.parquet")
    assert pq.read_table(tmp_path.parent / f"{tmp_path.name}.parquet").column_names == ["image", "label"]


def test_bad_pictures_are_named_with_their_row(tmp_path):
    pictures = _pictures(4)
    pictures[1]["bytes"], pictures[3]["bytes"] = b"hello", None
    _write(tmp_path / "x.parquet", pictures, [0, 0, 0, 0])
    good, bad = set_bad_aside(read(tmp_path / "x.parquet"))
    assert good.ids == ("00000000", "00000002")
    assert_one_line(bad[0], "x.parquet, record 1", "not a picture", "Remove or replace it")
    assert_one_line(bad[1], "x.parquet, record 3", "not embedded")


def test_label_out_of_range(tmp_path):
    _write(tmp_path / "x.parquet", _pictures(2), [0, 5], names=["p", "q"])
    with pytest.raises(DataError) as caught:
        read(tmp_path / "x.parquet")
    assert_one_line(caught.value, "x.parquet, record 00000001", "label 5 is outside 0 to 1")


def test_missing_labels_are_unknown(tmp_path):
    _write(tmp_path / "x.parquet", _pictures(2), [None, 1])
    assert read(tmp_path / "x.parquet").labels.tolist() == [-1, 1]


def test_unsigned_labels(tmp_path):
    for labels, read_as in (([None, 1], [-1, 1]), ([0, 2**63], None), ([0, 10**9], None)):
        _write(tmp_path / "x.parquet", _pictures(2), pa.array(labels, pa.uint64()))
        if read_as:
            assert read(tmp_path / "x.parquet").labels.tolist() == read_as
        else:
            with pytest.raises(DataError) as caught:  # naming a billion classes would eat the memory
                read(tmp_path / "x.parquet")
            assert_one_line(caught.value, "x.parquet", "no number of a class")


def test_not_parquet(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"hello")
    with pytest.raises(DataError) as caught:
        read(tmp_path / "x.parquet")
    assert_one_line(caught.value, "x.parquet", "not a parquet file", "Fetch it again")
    with pytest.raises(DataError, match="no parquet files"):
        read(tmp_path / "none.parquet")


def test_written_layout(tmp_path, small_set):
    write(small_set, tmp_path / "x.parquet")
    table = pq.read_table(tmp_path / "x.parquet")
    assert table.schema.field("image").type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["label"] == {"names": ["cat", "dog", "emu"], "_type": "ClassLabel"}
    assert table["image"][0]["path"].as_py() == "cat/sub/00.png"
    copy = read(tmp_path / "x.parquet")
    assert (copy.ids, copy.content_hash) == (small_set.ids, small_set.content_hash)


def test_written_row_groups(tmp_path):
    source = ArrayImageSet(np.zeros((600, 1, 1, 3), np.uint8), np.zeros(600, int))
    write(source, tmp_path / "x.parquet")
    metadata = pq.ParquetFile(tmp_path / "x.parquet").metadata
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [256, 256, 88]


@pytest.mark.parametrize("name", ["img", "bytes", "path", "label"])
def test_a_column_whose_statistics_do_not_fit_is_refused(tmp_path, name):
    path = tmp_path / "broken.parquet"
    _write(path, _pictures(3), [0, 1, 0], names=["a", "b"])
    raw = path.read_bytes()
    # In the schema of the footer: that values may be missing (2, in zigzag), and behind it the length and the name.
    stored = bytes([0x02, 0x18, len(name)]) + name.encode()
    assert raw.count(stored) == 1
    path.write_bytes(raw.replace(stored, b"\x00" + stored[1:]))  # required: pyarrow by itself ends the process
    with pytest.raises(DataError, match="broken"):
        set_bad_aside(read(path))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_broken_files_only_raise_our_errors(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    _write(folder / "broken.parquet", _pictures(3, "{}.png"), [0, 1, 0], names=["a", "b"])
    raw = bytearray((folder / "broken.parquet").read_bytes())
    for _ in range(data.draw(st.integers(0, 2))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (folder / "broken.parquet").write_bytes(raw[data.draw(st.integers(0, 5)) :])
    try:
        set_bad_aside(read(folder / "broken.parquet"))
    except UnpoisonError as error:
        assert_one_line(error, "broken.parquet")


def test_shards_in_any_case_and_what_lies_beside_them(tmp_path, class_folder):
    for name in ("train-0-of-2.parquet", "train-1-of-2.PARQUET"):
        _write(tmp_path / name, _pictures(2), [0, 1])
    with pytest.warns(DataWarning, match=r"folders beside the parquet files, left alone: 1 \(pictures\)"):
        assert len(read(tmp_path)) == 4
