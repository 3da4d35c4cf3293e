from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from unpoison.core.errors import DataError, DiskError, MissingExtraError, SettingsError, UnsafeFileError, require
from unpoison.core.files import atomic_path, file_stamp, write_json, write_text, writing
from unpoison.core.hashing import canonical_json, hash_file, hash_json
from unpoison.core.manifest import Manifest, Step, manifest_path, pack_manifest, read_manifest
from unpoison.core.methods import load_method
from unpoison.core.records import Metric, TrialRecord, read_records, trial_id, write_record


def test_atomic_write_leaves_nothing_on_error(tmp_path):
    def interrupted():
        with atomic_path(tmp_path / "sub" / "x.txt") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.listdir(tmp_path / "sub") == []


def test_atomic_write_replaces_in_one_piece(tmp_path):
    write_text(tmp_path / "x.txt", "old")
    with atomic_path(tmp_path / "x.txt") as temporary:
        temporary.write_text("new")
        assert (tmp_path / "x.txt").read_text() == "old"
    assert (tmp_path / "x.txt").read_text() == "new"
    assert os.listdir(tmp_path) == ["x.txt"]


def test_hashes(tmp_path):
    write_json(tmp_path / "x.json", {"b": 1, "a": "é"})
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == '{\n "b": 1,\n "a": "é"\n}\n'
    assert hash_file(tmp_path / "x.json") == hash_file(tmp_path / "x.json")
    assert canonical_json({"b": [1, 2], "a": None}) == '{"a":null,"b":[1,2]}'
    assert hash_json({"a": 1, "b": 2}) == hash_json({"b": 2, "a": 1})
    assert hash_json({"a": 1}) != hash_json({"a": 2})


def test_errors_say_where_and_survive_pickling():
    error = UnsafeFileError("x.npz", "it is bad", "Mend it", record=3)
    assert str(error) == "x.npz, record 3: it is bad. Mend it"
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.record) == (UnsafeFileError, str(error), 3)


def test_control_characters_are_escaped():
    assert str(DataError("a\nb.npz", "it holds \x1b[31m", "Mend it")) == r"a\nb.npz: it holds \x1b[31m. Mend it"
    assert str(SettingsError("é\u2028x")) == r"é\u2028x"


def test_require():
    assert require("json.decoder", extra="x", purpose="reading").JSONDecoder
    with pytest.raises(MissingExtraError) as caught:
        require("no_such_package.part", extra="parquet", purpose="reading parquet")
    assert str(caught.value) == "reading parquet needs no_such_package: run  pip install 'unpoison[parquet]'"


def test_require_does_not_hide_what_a_package_lacks(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        require("half_installed", extra="x", purpose="reading")


def test_methods_are_found_by_name():
    table = {"jpeg": "json:loads", "grey": "json:dumps"}
    assert load_method(table, "jpeg", kind="filter")("1") == 1
    with pytest.raises(SettingsError, match=r"no filter 'jpg'; did you mean 'jpeg'\?"):
        load_method(table, "jpg", kind="filter")


def test_the_stamp_of_a_file_that_was_unpacked_over_another(tmp_path):
    """Same name, same size, and the time that its archive says."""
    path = tmp_path / "x"
    path.write_bytes(b"old")
    os.utime(path, ns=(5, 5))
    before = file_stamp(path)
    assert file_stamp(path) == before
    (tmp_path / "y").write_bytes(b"new")
    os.utime(tmp_path / "y", ns=(5, 5))
    os.replace(tmp_path / "y", path)
    assert path.stat().st_mtime_ns == 5
    assert file_stamp(path) != before


def test_a_disk_error_names_the_outermost_place(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(DiskError, match=r"run cannot be written \(.*same command again: what is finished is kept$"),
        writing(tmp_path / "run", kept=True),
    ):
        write_text(tmp_path / "file" / "x", "")
    with pytest.raises(DiskError, match=r"x cannot be written \(.*same command again$") as caught:
        write_text(tmp_path / "file" / "x", "")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    with pytest.raises(DiskError, match="names no file"):
        write_text(Path(), "")


def _manifest() -> Manifest:
    step = Step(
        action="purify",
        method="fast",
        settings={"sigma": "26/255"},
        seed=0,
        source="aa",
        result="bb",
        versions={"torch": "2"},
        device="cpu",
    )
    return Manifest(
        name="x", format="folder", count=2, per_class={"a": 2}, modes={"L": 1}, skipped=["a/b"], steps=[step]
    )


def test_manifest_round_trip(tmp_path):
    (tmp_path / "set").mkdir()
    for target in (tmp_path / "set", tmp_path / "x.npz"):
        path = manifest_path(target)
        path.write_bytes(pack_manifest(_manifest())["manifest.json"])
        assert read_manifest(path) == _manifest()
    assert manifest_path(tmp_path / "x.npz").name == "x.npz.manifest.json"


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"name": 3}'])
def test_wrong_manifests(tmp_path, text):
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(DataError, match=r"m\.json: this is not a manifest"):
        read_manifest(tmp_path / "m.json")
    with pytest.raises(DataError, match="no such manifest"):
        read_manifest(tmp_path / "none.json")


def test_records_round_trip(tmp_path):
    settings, inputs = {"attack": "lsp", "seed": 1}, {"data": "ab"}
    record = TrialRecord(
        id=trial_id(settings, inputs),
        suite="small",
        settings=settings,
        inputs=inputs,
        metrics={"accuracy": Metric(value=0.1 + 0.2, n=10, low=0.1, high=0.5)},
        versions={},
        device="cpu",
        seconds={"train": 1.5},
    )
    path = write_record(tmp_path, record)
    assert path.name == f"{record.id}.json"
    assert read_records(tmp_path) == [record]
    assert trial_id({"seed": 1, "attack": "lsp"}, inputs) == record.id
    assert trial_id({"seed": 2, "attack": "lsp"}, inputs) != record.id
    (tmp_path / "zz.json").write_text("{}")
    with pytest.raises(DataError, match=r"zz\.json.*not a trial record"):
        read_records(tmp_path)


def test_a_file_may_be_read_by_those_who_may_read_others(tmp_path):
    (tmp_path / "plain").touch()
    with atomic_path(tmp_path / "weights") as temporary:
        temporary.unlink()
        descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600)  # as safetensors does
        os.close(descriptor)
    assert (tmp_path / "weights").stat().st_mode == (tmp_path / "plain").stat().st_mode
