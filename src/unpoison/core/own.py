"""Methods that are no part of the package: a class or an object, and what is known of it."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from typing import Any

from pydantic import create_model

from unpoison.core.errors import SettingsError
from unpoison.core.settings import Settings


class Own:
    """A method that was given as an object or class.

    Args:
        name: by which it is called.
        given: the object.
        needs: what it must be able to do.

    Raises:
        SettingsError: it cannot.
    """

    def __init__(self, name: str, given: Any, *, needs: str):
        self.name, self.given, self.is_class = name, given, inspect.isclass(given)
        if not callable(getattr(given, needs, None)):
            raise SettingsError(f"'{name}' is given as {called(given)}, which has no {needs}()")

    def facts(self) -> dict[str, Any]:
        """What tells it from another of its name: the class, a hash of its code if that can be read, its weights."""
        code = self.given if self.is_class or inspect.isroutine(self.given) else type(self.given)
        try:
            source = hashlib.sha256(inspect.getsource(code).encode()).hexdigest()[:16]
        except (OSError, TypeError):
            source = ""
        weights = declared_weights(self.given)
        return {"class": called(self.given), "source": source, **({"weights": weights} if weights else {})}


def settings_of(given: Any) -> type[Settings]:
    """The settings model of a method; that of an object has the object's values as defaults.

    Raises:
        SettingsError: its `Settings` is none.
    """
    model = getattr(given, "Settings", Settings)
    if not inspect.isclass(model) or not issubclass(model, Settings):
        raise SettingsError(f"the Settings of {called(given)} do not derive from unpoison.core.settings.Settings")
    made = getattr(given, "settings", None)
    if inspect.isclass(given) or not isinstance(made, Settings):
        return model
    fields: dict[str, Any] = {
        name: (field.annotation, getattr(made, name)) for name, field in type(made).model_fields.items()
    }
    return create_model(type(made).__name__, __base__=type(made), **fields)


def declared_weights(given: Any) -> dict[str, str]:
    """Hashes of weight files by name, where a method has them as unpoison's do; `weights` may be anything else."""
    found = getattr(given, "weights", None)
    is_ours = isinstance(found, Mapping) and all(isinstance(digest, str) for digest in found.values())
    return {str(name): digest for name, digest in found.items()} if isinstance(found, Mapping) and is_ours else {}


def called(given: Any) -> str:
    """The full name of a class, or of an object's class."""
    return ".".join(_address(given))


def address(given: Any) -> str:
    """The name `module:Class` of a class, or of an object's class, by which it may be imported again."""
    return ":".join(_address(given))


def _address(given: Any) -> tuple[str, str]:
    named = given if hasattr(given, "__qualname__") else type(given)
    return named.__module__, named.__qualname__
