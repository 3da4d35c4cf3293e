from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from data.conftest import assert_one_line
from unpoison.core.errors import DataError
from unpoison.data.hub_files import fetch_files


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
    assert asked == [("owner/name", {"repo_type": "dataset", "allow_patterns": ["a/*"]})]
    with pytest.raises(DataError) as caught:
        fetch_files("gone/gone", ["a/*"])
    assert_one_line(caught.value, "hf://gone/gone", "404: no such set", "Check the name and the network")
