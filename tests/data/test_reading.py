from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.conftest import assert_one_line
from unpoison.core.errors import DataError, SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.core.manifest import Manifest, Step, pack_manifest
from unpoison.core.notes import DataWarning
from unpoison.data import default_format, detect_format, read, read_history, write
from unpoison.data.sources import parse_source


@pytest.mark.parametrize(
    ("text", "path", "split", "rows"),
    [
        ("a/b", "a/b", None, slice(None)),
        ("a#test", "a", "test", slice(None)),
        ("a#test[:20]", "a", "test", slice(None, 20)),
        ("a[20:]", "a", None, slice(20, None)),
        ("a[-5:-1]", "a", None, slice(-5, -1)),
        ("x-[0-9].parquet", "x-[0-9].parquet", None, slice(None)),
        ("c#sharp/x", "c#sharp/x", None, slice(None)),
    ],
)
def test_sources(text, path, split, rows):
    source = parse_source(text)
    assert (source.path, source.split, source.rows) == (Path(path), split, rows)


def test_existing_names_are_taken_as_they_are(tmp_path):
    (tmp_path / "a#test[:2]").mkdir()
    assert parse_source(tmp_path / "a#test[:2]").path == tmp_path / "a#test[:2]"
    (tmp_path / "set#1").mkdir()
    for text, split, rows in (
        ("[:1]", None, slice(None, 1)),
        ("#test", "test", slice(None)),
        ("#a/b=1", "a/b=1", None),
    ):
        found = parse_source(f"{tmp_path}/set#1{text}")
        assert (found.path, found.split, found.rows) == (tmp_path / "set#1", split, rows or slice(None))


def test_unknown_files_and_formats(tmp_path):
    (tmp_path / "x.docx").write_text("")
    with pytest.raises(DataError) as caught:
        read(tmp_path / "x.docx")
    assert_one_line(caught.value, "x.docx", "no known format", "--format")
    with pytest.raises(SettingsError, match="did you mean 'folder'"):
        read(tmp_path, format="foldr")
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("https://x.org/set.zip", ("https://x.org/set.zip", "an address, and nothing is fetched", "Download it")),
        ("s3://bucket/set", ("s3://bucket/set", "an address", "hf://owner/name")),
        ("cat.png", ("one picture", "into a folder of its class")),
        ("set.rar", ("only .zip and .tar.gz are read", "Unpack it")),
    ],
)
def test_what_is_no_set_gets_an_answer_that_fits(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    if "/" not in name:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError) as caught:
        read(name)
    assert_one_line(caught.value, *words)


def test_a_folder_that_may_not_be_listed_is_of_no_format(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError) as caught:
        detect_format(tmp_path)
    assert_one_line(caught.value, tmp_path.name, "Permission denied", "Check it and its permissions")


def test_a_part_that_leaves_out_classes_says_so(make_set, tmp_path):
    write(make_set(12, classes=3), tmp_path / "sorted")
    with pytest.warns(DataWarning, match=r"classes without pictures in this part.*--per-class.*: 2 \(c1, c2\)"):
        part = read(f"{tmp_path / 'sorted'}[:3]")
    assert [note.count for note in part.notes] == [2]
    write(make_set(12, classes=3), tmp_path / "mixed.npz")
    with warnings.catch_warnings(action="error"):
        assert read(f"{tmp_path / 'sorted'}[1:9]").notes == ()
        assert read(f"{tmp_path / 'mixed.npz'}[:2]").notes == ()  # not by class: every part is a sample


def test_default_formats(tmp_path, small_set):
    assert default_format("folder", Path("x.npz")) == "npz"
    assert default_format("npz", Path("x.PARQUET")) == "parquet"
    assert default_format("eclipse-pkl", Path("out")) == "folder"
    assert default_format("numbered", Path("out")) == "numbered"
    with pytest.raises(SettingsError, match="read but not written; choose from npz, parquet, numbered, folder"):
        write(small_set, tmp_path / "x", format="digits")


def test_importing_takes_no_heavy_packages():
    code = "import sys, unpoison.data; print([m for m in ('torch', 'pyarrow', 'huggingface_hub') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


NAMES = st.text(st.sampled_from("abcé -_.9"), min_size=1, max_size=6).filter(lambda name: name.strip(" .") == name)


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_round_trip_through_every_format(tmp_path_factory, data):
    class_names = data.draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    stems = data.draw(st.lists(NAMES.filter(lambda name: "." not in name), min_size=1, max_size=6, unique=True))
    labels = [data.draw(st.integers(0, len(class_names) - 1)) for _ in stems]
    named = sorted((f"{class_names[label]}/{stem}", label) for stem, label in zip(stems, labels, strict=True))
    height, width = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    images = np.random.default_rng(len(stems)).integers(0, 256, (len(stems), height, width, 3), np.uint8)
    source = ArrayImageSet(
        images, [label for _, label in named], class_names=class_names, ids=[image_id for image_id, _ in named]
    )
    folder = tmp_path_factory.mktemp("trip")
    image_set = source
    for name in ("a.npz", "b", "c.parquet", "d.npz"):
        write(image_set, folder / name)
        image_set = read(folder / name)
        assert _labels_by_id(image_set) == _labels_by_id(source)  # a folder has an order of its own
        assert image_set.class_names == source.class_names
        assert image_set.content_hash == source.content_hash
    write(read(folder / "a.npz"), folder / "e.npz")
    assert (folder / "a.npz").read_bytes() == (folder / "e.npz").read_bytes()


def _labels_by_id(image_set):
    return dict(zip(image_set.ids, image_set.labels.tolist(), strict=True))


def test_history_belongs_to_the_whole_set(tmp_path, small_set):
    write(small_set, tmp_path / "y.npz")
    assert read_history(tmp_path / "y.npz") == []
    step = Step(action="purify", method="jpeg", settings={}, seed=0, source="a", result="b", versions={}, device="cpu")
    manifest = Manifest(name="y", format="npz", count=1, per_class={}, steps=[step])
    write(small_set, tmp_path / "x.npz", files=lambda _: pack_manifest(manifest))
    assert read_history(tmp_path / "x.npz") == [step]
    assert read_history(f"{tmp_path / 'x.npz'}[:2]") == []
