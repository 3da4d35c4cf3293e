"""Settings of defences among those of a training: `defence="epic"` and `epic.fraction=0.2`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unpoison.classify.defences.methods import load_defence
from unpoison.core.chains import split_chain, split_fields
from unpoison.core.errors import SettingsError
from unpoison.core.settings import Settings, build_settings


def gather_defences(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a training as they were given, with those of its defences together in the field `defence`.

    Args:
        values: fields of the training; `defence` as names joined by `+`, or as a table of names and their fields; and
            `name.field` of any of them.

    Raises:
        SettingsError: there is no such defence, or a field of one that is not named.
    """
    plain = {key: value for key, value in values.items() if "." not in key}
    dotted = {key: value for key, value in values.items() if "." in key}
    named = plain.pop("defence", "")
    if isinstance(named, str):
        named = {name: {} for name in split_chain(named)} if named else {}
    if not isinstance(named, Mapping):
        raise SettingsError(f"defence is {named!r}; name one, or several joined by +")
    if not named:
        for key in dotted:
            name = key.rpartition(".")[0]
            raise SettingsError(f"setting '{key}': no defence is named; name it: --defence {name}")
        return plain
    of_each = split_fields("+".join(named), dotted, kind="defence")
    plain["defence"] = {name: _settings(name, given, of_each[name]) for name, given in named.items()}
    return plain


def split_profiles(chain: str) -> tuple[list[str], str]:
    """The profiles that some defences of a chain consist of, and the chain of the others.

    >>> split_profiles("compensation+mixup")
    (['compensation'], 'mixup')

    Raises:
        SettingsError: there is no such defence, or one is named twice.
    """
    profiles = {name: load_defence(name).profile for name in split_fields(chain, {}, kind="defence")} if chain else {}
    return [found for found in profiles.values() if found], "+".join(n for n, found in profiles.items() if not found)


def _settings(name: str, given: Any, fields: Mapping[str, Any]) -> Settings:
    """The settings of one defence."""
    defence = load_defence(name)
    if defence.profile:
        raise SettingsError(f"'{name}' consists of settings of the training; name the profile {defence.profile}")
    if isinstance(given, Settings):
        given = given.model_dump()
    if not isinstance(given, Mapping):
        raise SettingsError(f"defence {name}={given!r}: write a table of its settings")
    return build_settings(defence.Settings, overrides={**given, **fields}, of=name)
