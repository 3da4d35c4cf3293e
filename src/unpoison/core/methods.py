"""Methods looked up by name: in a room's table, among what other packages offer, or as `package.module:Class`."""

from __future__ import annotations

import importlib
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import reduce
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from unpoison.core.errors import SettingsError
from unpoison.core.suggestions import suggest

# Kinds of methods that may live elsewhere, and what their class must have; their entry points are in `unpoison.KINDs`.
_OUTSIDE = {
    "purifier": ("Settings", "purify"),
    "attack": ("Settings", "craft"),
}
_LENT: ContextVar[Mapping[str, Mapping[str, Any]] | None] = ContextVar("lent", default=None)
_TRUSTED: ContextVar[Container[str] | None] = ContextVar("trusted", default=None)


@contextmanager
def lend(methods: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Let `load_method` find methods that exist as Python objects only, as long as the context lasts.

    Args:
        methods: kind -> name -> what `load_method` gives for it; beside those that are lent already.
    """
    before = _LENT.get() or {}
    token = _LENT.set({kind: {**before.get(kind, {}), **methods.get(kind, {})} for kind in {*before, *methods}})
    try:
        yield
    finally:
        _LENT.reset(token)


def lent(kind: str, name: str) -> Any:
    """What was lent under a name; None if nothing was."""
    return (_LENT.get() or {}).get(kind, {}).get(name)


@contextmanager
def trusting(names: Container[str]) -> Iterator[None]:
    """Import no other `package.module:Class` than these: other names are those of files, which may be anybody's."""
    token = _TRUSTED.set(names)
    try:
        yield
    finally:
        _TRUSTED.reset(token)


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
    found = _import_outside(name, name if ":" in name else _offered(kind)[name].value, kind)
    missing = [attribute for attribute in _OUTSIDE[kind] if not hasattr(found, attribute)]
    if missing:
        raise SettingsError(f"'{name}' is no {kind}: it has no {' and no '.join(missing)}; see CONTRIBUTING.md")
    return found


def check_method(table: Mapping[str, str], name: str, *, kind: str) -> None:
    """Whether there is a method of this name, without importing it.

    Raises:
        SettingsError: there is none; names the nearest.
    """
    if name in table or lent(kind, name) is not None:
        return
    if ":" in name and kind in _OUTSIDE:
        trusted = _TRUSTED.get()
        if trusted is not None and name not in trusted:
            raise SettingsError(
                f"the {kind} '{name}' is code from elsewhere, and a file names it; if you know it, name it in the "
                f"command: --trust {name}, or --set where it is a profile's"
            )
        return
    if name not in (offered := _offered(kind)):
        raise SettingsError(f"there is no {kind} '{name}'{suggest(name, sorted({*table, *offered}))}")


def method_names(table: Mapping[str, str], *, kind: str) -> list[str]:
    """The names of a table, and of what other installed packages offer; nothing is imported."""
    return [*table, *(name for name in _offered(kind) if name not in table)]


def _offered(kind: str) -> dict[str, EntryPoint]:
    """Methods that other installed packages offer, by name."""
    return {point.name: point for point in entry_points(group=f"unpoison.{kind}s")} if kind in _OUTSIDE else {}


def _import(address: str) -> Any:
    module, _, attribute = address.partition(":")
    return reduce(getattr, attribute.split("."), importlib.import_module(module))


def _import_outside(name: str, address: str, kind: str) -> Any:
    """Import a stranger's class, whose code may fail in any way.

    Raises:
        SettingsError: says what is missing.
    """
    module, _, attribute = address.partition(":")
    try:
        return _import(address)
    except ModuleNotFoundError as error:
        remedy = "install it, or name its folder in PYTHONPATH"
        raise SettingsError(f"{kind} '{name}': there is no module '{error.name}'; {remedy}") from error
    except AttributeError as error:
        raise SettingsError(f"{kind} '{name}': module {module} has no {attribute or 'empty name'}") from error
    except Exception as error:
        raise SettingsError(
            f"{kind} '{name}': module {module} cannot be imported: {type(error).__name__}: {error}"
        ) from error
