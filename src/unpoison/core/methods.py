"""Methods looked up by name in a room's table, and imported only then."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from unpoison.core.errors import SettingsError
from unpoison.core.suggestions import suggest

_LENT: ContextVar[Mapping[str, Mapping[str, Any]] | None] = ContextVar("lent", default=None)


@contextmanager
def lend(methods: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Let `load_method` find methods that exist as Python objects only, as long as the context lasts.

    Args:
        methods: kind -> name -> what `load_method` gives for it.
    """
    token = _LENT.set(methods)
    try:
        yield
    finally:
        _LENT.reset(token)


def lent(kind: str, name: str) -> Any:
    """What was lent under a name; None if nothing was."""
    return (_LENT.get() or {}).get(kind, {}).get(name)


def load_method(table: Mapping[str, str], name: str, *, kind: str) -> Any:
    """Import a method.

    Args:
        table: name -> `module:attribute`, a room's `METHODS`.
        name: what the user asked for.
        kind: word for the error, e.g. `purifier`.

    Raises:
        SettingsError: there is no such method.
    """
    if (found := lent(kind, name)) is not None:
        return found
    check_method(table, name, kind=kind)
    module, attribute = table[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def check_method(table: Mapping[str, str], name: str, *, kind: str) -> None:
    """Whether there is a method of this name, without importing it.

    Raises:
        SettingsError: there is none; names the nearest.
    """
    if name not in table and lent(kind, name) is None:
        raise SettingsError(f"there is no {kind} '{name}'{suggest(name, sorted(table))}")
