"""Chains and mixtures: methods joined by `+`, with settings `field`, or `method.field` where there are several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unpoison.core.errors import SettingsError


def split_chain(joined: str) -> list[str]:
    """The methods of a chain or mixture, in order.

    >>> split_chain("jpeg+fast")
    ['jpeg', 'fast']
    """
    return joined.split("+")


def split_fields(joined: str, fields: Mapping[str, Any], *, kind: str) -> dict[str, dict[str, Any]]:
    """Which of some settings each method of a chain is given.

    >>> split_fields("jpeg+fast", {"jpeg.quality": 50}, kind="purifier")
    {'jpeg': {'quality': 50}, 'fast': {}}

    Args:
        joined: a method, or several joined by `+`, each at most once.
        fields: `field` to value, in a chain `method.field`.
        kind: what the methods are, for the error.

    Raises:
        SettingsError: a method is named twice, or a field does not say whose it is.
    """
    names = split_chain(joined)
    if len(set(names)) < len(names):
        raise SettingsError(f"'{joined}' names {'an' if kind[0] in 'aeiou' else 'a'} {kind} twice")
    of_each: dict[str, dict[str, Any]] = {name: {} for name in names}
    for key, value in fields.items():
        # A name may hold dots, as `package.module:Class` does.
        name, dot, field = key.rpartition(".")
        name = name if dot else names[0]
        if name not in of_each or (len(names) > 1 and not dot):
            raise SettingsError(f"setting '{key}': in '{joined}' write one of {', '.join(f'{n}.field' for n in names)}")
        of_each[name][field] = value
    return of_each


def join_fields(of_each: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The inverse of `split_fields`: `field` of a single method, `method.field` of several.

    >>> join_fields({"jpeg": {"quality": 50}, "grayscale": {}})
    {'jpeg.quality': 50}
    """
    return {
        field if len(of_each) == 1 else f"{name}.{field}": value
        for name, fields in of_each.items()
        for field, value in fields.items()
    }
