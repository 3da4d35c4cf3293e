"""Settings of a method from the arguments of a Python call."""

from __future__ import annotations

from functools import partial
from os import PathLike
from typing import Any

from unpoison.core.chains import split_chain
from unpoison.core.errors import SettingsError
from unpoison.core.settings import Settings, called_settings, file_fields
from unpoison.purifiers.settings import purifier_settings, settings_model


def method_settings(
    method: str, *, profile: str = "", model: Any = None, fields: dict[str, Any]
) -> dict[str, Settings]:
    """Settings of every link; a path of a model goes to all links that have one.

    Args:
        method: a purifier, or several joined by `+`.
        profile: names of profiles, or TOML files, joined by commas.
        model: path or name of weights; anything else is not looked at here.
        fields: values that win over the profiles; `purifier.field` where several of a chain have it.

    Raises:
        SettingsError: an unknown purifier, profile or field, or a method without a model.
    """
    paths: dict[str, Any] = {}
    if model is not None and is_path(model):
        links = [name for name in split_chain(method) if "model" in file_fields(settings_model(name))]
        if not links:
            raise SettingsError(f"method '{method}' uses no model; omit model=")
        paths = {f"{link}.model": model for link in links}
    return called_settings(None, partial(purifier_settings, method), profile=profile, fields={**fields, **paths})


def is_path(model: Any) -> bool:
    """Whether a model is named, or none is, so that nothing in memory is meant."""
    return model is None or isinstance(model, (str, PathLike))
