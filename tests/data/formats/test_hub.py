from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from data.conftest import assert_one_line
from unpoison.core.errors import DataError, MissingExtraError
from unpoison.data import read, write
from unpoison.data.formats.hub import fetch_file, fetch_files


@pytest.fixture
def hub(tmp_path, monkeypatch, small_set):
    """A Hub that has two configurations of one set, and notes what it is asked for."""
    for config in ("plain", "other"):
        write(small_set, tmp_path / "cache" / config / "train-00000-of-00001.parquet")
        write(small_set.subset([0]), tmp_path / "cache" / config / "test-00000-of-00001.parquet")
    asked = []

    def download(repository, **options):
        asked.append((repository, options["revision"]))
        if repository == "gone/gone":
            raise FileNotFoundError("404: no such set\nsecond line")
        if repository == "empty/empty":
            return str(tmp_path / "none")
        return str(tmp_path / "cache")

    errors = SimpleNamespace(HfHubHTTPError=OSError)
    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=download, errors=errors))
    return asked


def test_configuration_and_split(hub, small_set):
    image_set = read("hf://owner/name/plain")
    assert (image_set.name, image_set.format) == ("plain", "parquet")
    assert image_set.content_hash == small_set.content_hash
    assert len(read("hf://owner/name/plain#test")) == 1
    assert hub == [("owner/name", None)] * 2


def test_several_configurations(hub):
    with pytest.raises(DataError, match=r"several sets \(other, plain\)"):
        read("hf://owner/name")


def test_bare_names(hub, tmp_path):
    import shutil

    shutil.rmtree(tmp_path / "cache" / "other")
    assert read("cifar10#test").name == "cifar10"
    assert hub == [("uoft-cs/cifar10", None)]


def test_failures(hub):
    with pytest.raises(DataError) as caught:
        read("hf://gone/gone")
    assert_one_line(caught.value, "hf://gone/gone", "404", "Check the name and the network")
    with pytest.raises(DataError, match="no parquet files"):
        read("hf://empty/empty")
    assert hub[-1] == ("empty/empty", "refs/convert/parquet")
    with pytest.raises(DataError, match="Write hf://owner/name"):
        read("hf://name")


def test_one_file_of_a_model(monkeypatch, tmp_path):
    def download(repository, name):
        if name == "none":
            raise ValueError("no such entry")
        return f"{tmp_path}/{repository}/{name}"

    fake = SimpleNamespace(hf_hub_download=download, errors=SimpleNamespace(HfHubHTTPError=OSError))
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    assert fetch_file("hf://owner/name/sub/x.pt") == tmp_path / "owner" / "name" / "sub" / "x.pt"
    with pytest.raises(DataError, match=r"hf://owner/name/none: it cannot be downloaded \(no such entry\)"):
        fetch_file("hf://owner/name/none")
    with pytest.raises(DataError, match="Write hf://owner/name/file"):
        fetch_file("hf://owner/name")


def test_missing_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"unpoison\[hub\]"):
        read("hf://owner/name")


def test_only_what_matches_is_asked_for(tmp_path, monkeypatch):
    asked = []

    def download(repository, **options):
        asked.append((repository, options))
        if repository == "gone/gone":
            raise FileNotFoundError("404: no such set\nsecond line")
        return str(tmp_path)

    errors = SimpleNamespace(HfHubHTTPError=OSError)
    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=download, errors=errors))
    assert fetch_files("owner/name", ["a/*"]) == tmp_path
    assert asked == [("owner/name", {"repo_type": "dataset", "revision": None, "allow_patterns": ["a/*"]})]
    with pytest.raises(DataError) as caught:
        fetch_files("gone/gone", ["a/*"])
    assert_one_line(caught.value, "hf://gone/gone", "404: no such set", "Check the name and the network")
