"""A manifest is found by its own name, and by that of the set it lies with."""

from __future__ import annotations

from unpoison.core.manifest import find_manifest


def test_a_manifest_is_found_by_the_set(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set.npz").touch()
    beside, inside = tmp_path / "set.npz.manifest.json", tmp_path / "set" / "manifest.json"
    beside.touch()
    assert find_manifest(tmp_path / "set") == find_manifest(inside) == inside
    assert find_manifest(tmp_path / "set.npz") == find_manifest(beside) == beside
    assert find_manifest(tmp_path / "none.json") == tmp_path / "none.json"
