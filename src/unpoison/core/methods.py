"""Methods looked up by name: in a room's table, among what other packages offer, or as `package.module:Class`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from unpoison.core.errors import SettingsError
from unpoison.core.suggestions import suggest

# Kinds of methods that may live elsewhere: the group of their entry points, and what their class must have.
_OUTSIDE = {
    "purifier": ("unpoison.purifiers", ("Settings", "purify")),
    "attack": ("unpoison.attacks", ("Settings", "craft")),
}
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
        name: what the user asked for; of a purifier or attack also `package.module:Class`, or the name of an entry
            point of the group `unpoison.purifiers` or `unpoison.attacks`.
        kind: word for the error, e.g. `purifier`.

    Raises:
        SettingsError: there is no such method, or what was named is none.
    """
    if (found := lent(kind, name)) is not None:
        return found
    check_method(table, name, kind=kind)
    if name in table:
        return _import(table[name])
    address = name if ":" in name else _offered(kind)[name].value
    try:
        found = _import(address)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"{kind} '{name}' cannot be imported: {error}") from error
    missing = [attribute for attribute in _OUTSIDE[kind][1] if not hasattr(found, attribute)]
    if missing:
        raise SettingsError(f"'{name}' is no {kind}: it has no {' and no '.join(missing)}")
    return found


def check_method(table: Mapping[str, str], name: str, *, kind: str) -> None:
    """Whether there is a method of this name, without importing it.

    Raises:
        SettingsError: there is none; names the nearest.
    """
    if name in table or lent(kind, name) is not None or (":" in name and kind in _OUTSIDE):
        return
    offered = _offered(kind)
    if name not in offered:
        raise SettingsError(f"there is no {kind} '{name}'{suggest(name, sorted({*table, *offered}))}")


def _offered(kind: str) -> dict[str, EntryPoint]:
    """Methods that other installed packages offer, by name."""
    return {point.name: point for point in entry_points(group=_OUTSIDE[kind][0])} if kind in _OUTSIDE else {}


def _import(address: str) -> Any:
    module, _, attribute = address.partition(":")
    return getattr(importlib.import_module(module), attribute)
