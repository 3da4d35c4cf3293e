"""JSON and TOML that anybody may have written: bounded in size, depth and numbers, and with one kind of error."""

from __future__ import annotations

import json
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MAX_BYTES = 64 * 2**20
_MAX_DEPTH = 32
_MAX_NUMBER = 2**63
_DEEP, _LONG = "nested too deeply", "a number has more than 18 digits"


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: it is no JSON, or beyond the bounds; says in a few words why.
    """
    return parse_json(read_text(path))


def parse_json(text: str) -> Any:
    """The value that a JSON text stands for.

    Raises:
        ValueError: as for `read_json`.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    except (ValueError, RecursionError) as error:
        raise _beyond(error) from None
    check_plain(value)
    return value


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: it is no TOML, or beyond the bounds; says in a few words why.
    """
    return parse_toml(read_text(path))


def parse_toml(text: str) -> dict[str, Any]:
    """The table that a TOML text stands for.

    Raises:
        tomllib.TOMLDecodeError: it is no TOML.
        ValueError: it is beyond the bounds.
    """
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise _beyond(error) from None
    check_plain(value)
    return value


def format_toml(table: Mapping[str, Any]) -> str:
    """TOML of a table; its inner tables down to the second level become sections, what is None is left out.

    >>> print(format_toml({"name": "a", "sets": {"train": "a.npz", "extra": {"size": 32, "ids": [1, 2]}}}))
    name = "a"
    <BLANKLINE>
    [sets]
    train = "a.npz"
    extra = { size = 32, ids = [1, 2] }
    <BLANKLINE>
    """
    lines = [f"{name} = {_toml_value(value)}" for name, value in table.items() if not isinstance(value, Mapping)]
    for name, section in table.items():
        if isinstance(section, Mapping):
            fields = [f"{_toml_key(key)} = {_toml_value(value)}" for key, value in section.items() if value is not None]
            lines += ["", f"[{name}]", *fields]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = ", ".join(
            f"{_toml_key(key)} = {_toml_value(inner)}" for key, inner in value.items() if inner is not None
        )
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml_value, value))}]"
    return _toml_text(value) if isinstance(value, str) else json.dumps(value)


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml_text(key)


def _toml_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def check_plain(value: Any) -> None:
    """Refuse what is nested so deeply, or holds whole numbers so large, that other code would break on it.

    Raises:
        ValueError: says which.
    """
    level = [value]
    for _ in range(_MAX_DEPTH):
        if not level:
            return
        if any(isinstance(item, int) and abs(item) >= _MAX_NUMBER for item in level):
            raise ValueError(_LONG)
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        level = inner
    raise ValueError(_DEEP)


def _beyond(error: ValueError | RecursionError) -> ValueError:
    """What a parser means: Python itself reads no number of over 4,300 digits."""
    return ValueError(_DEEP if isinstance(error, RecursionError) else _LONG)


def read_text(path: Path) -> str:
    """The text in a file.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: it is no UTF-8, or too large; says in a few words why.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a file")
    if status.st_size > MAX_BYTES:
        raise ValueError(f"over {MAX_BYTES >> 20} MiB")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
