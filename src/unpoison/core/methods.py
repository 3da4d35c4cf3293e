"""Methods looked up by name in a room's table, and imported only then."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from unpoison.core.errors import SettingsError
from unpoison.core.suggestions import suggest


def load_method(table: Mapping[str, str], name: str, *, kind: str) -> Any:
    """Import a method.

    Args:
        table: name -> `module:attribute`, a room's `METHODS`.
        name: what the user asked for.
        kind: word for the error, e.g. `purifier`.

    Raises:
        SettingsError: there is no such method.
    """
    check_method(table, name, kind=kind)
    module, attribute = table[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def check_method(table: Mapping[str, str], name: str, *, kind: str) -> None:
    """Whether there is a method of this name, without importing it.

    Raises:
        SettingsError: there is none; names the nearest.
    """
    if name not in table:
        raise SettingsError(f"there is no {kind} '{name}'{suggest(name, sorted(table))}")
