"""What strangers write as JSON or TOML is refused in a few words, never with a traceback."""

from __future__ import annotations

import os

import pytest

from unpoison.core.documents import read_json, read_toml
from unpoison.core.errors import DataError, SettingsError
from unpoison.core.records import read_records
from unpoison.core.settings import Settings, build_settings, parse_assignments

DEEP = 100_000
HOSTILE = {
    "deep lists": ("[" * DEEP, "x = " + "[" * DEEP),
    "deep and closed": ("[" * DEEP + "]" * DEEP, "x = " + "[" * DEEP + "]" * DEEP),
    "deep enough for others": ("[" * 200 + "]" * 200, "x = " + "[" * 200 + "]" * 200),
    "deep tables": ('{"a":' * DEEP + "1" + "}" * DEEP, ".".join("a" * 5000) + " = 1"),
    "a long number": ("9" * 5000, "x = " + "9" * 5000),
    "a large number": ('{"a": [1, -9223372036854775808]}', "x = 9223372036854775808"),
    "nothing": ("", "x = "),
    "half": ('{"a": ', 'x = "'),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_texts(tmp_path, case):
    for text, read in zip(HOSTILE[case], (read_json, read_toml), strict=True):
        (tmp_path / "x").write_text(text)
        with pytest.raises(ValueError, match=r"."):
            read(tmp_path / "x")


@pytest.mark.parametrize("read", [read_json, read_toml])
def test_files_that_are_none(tmp_path, read):
    (tmp_path / "x").write_bytes(b'a = "\xff\xfe"')
    with pytest.raises(ValueError, match="not UTF-8"):
        read(tmp_path / "x")
    with pytest.raises(ValueError, match="not a file"):
        read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="not a file"):
        read(tmp_path / "pipe")
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match="over 64 MiB"):
        read(tmp_path / "sparse")
    with pytest.raises(OSError, match="No such file"):
        read(tmp_path / "none")


def test_sound_ones_are_read(tmp_path):
    (tmp_path / "x.json").write_text('{"a": [1, 2.5, "b", null, true, 9223372036854775807]}')
    assert read_json(tmp_path / "x.json") == {"a": [1, 2.5, "b", None, True, 2**63 - 1]}
    (tmp_path / "x.toml").write_text("[a]\nb = [1, 2.5]\n")
    assert read_toml(tmp_path / "x.toml") == {"a": {"b": [1, 2.5]}}


class _Counting(Settings):
    """Settings of a method.

    Args:
        steps: how many.
    """

    steps: int = 1


def test_settings_from_strangers(tmp_path):
    for text in ("[" * DEEP, "9" * 5000):
        (tmp_path / "mine.toml").write_text(f"steps = {text}")
        with pytest.raises(SettingsError, match="not valid TOML"):
            build_settings(_Counting, profiles=[str(tmp_path / "mine.toml")])
        with pytest.raises(SettingsError, match="steps="):
            parse_assignments([f"steps={text}"])
    for steps in (10**6, -(10**18), "9" * 4000):
        with pytest.raises(SettingsError, match="steps"):
            build_settings(_Counting, overrides={"steps": steps})
    assert build_settings(_Counting, overrides={"steps": 999_999}).steps == 999_999


@pytest.mark.parametrize("text", ["[" * DEEP, '{"id": 1}', "\xff", ""])
def test_records_from_strangers(tmp_path, text):
    (tmp_path / "a.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match="not a trial record"):
        read_records(tmp_path)
