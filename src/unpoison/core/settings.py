"""Settings of methods: frozen models, filled from profiles (TOML) and from `key=value`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from unpoison.core.errors import SettingsError


class Settings(BaseModel):
    """Base of every method's settings: frozen, no unknown fields, all fields with defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _check_bound(text: str) -> str:
    try:
        value = bound_value(text)
    except (ValueError, ZeroDivisionError):
        raise ValueError("write it as a fraction like 8/255 or 0.4/255, or as a number") from None
    if value < 0:
        raise ValueError("must not be negative")
    return text.replace(" ", "")


# A length in [0, 1] pixel units, kept as it was written: records say 8/255 and mean exactly that.
Bound = Annotated[str, BeforeValidator(str), AfterValidator(_check_bound)]

# In which arithmetic networks compute; `core.precision` knows what auto stands for.
Precision = Literal["auto", "fp32", "bf16"]

S = TypeVar("S", bound=Settings)


def bound_value(bound: str) -> float:
    """The number that a `Bound` stands for.

    >>> bound_value("0.5"), round(255 * bound_value("0.4/255"), 6)
    (0.5, 0.4)
    """
    top, _, bottom = bound.replace(" ", "").partition("/")
    return float(Fraction(top) / Fraction(bottom or 1))


def build_settings(
    model: type[S],
    *,
    profiles: Sequence[str] = (),
    room: str = "",
    overrides: Mapping[str, Any] | None = None,
) -> S:
    """Fill a settings model: defaults, then the profiles in order, then the overrides.

    Args:
        model: the settings class of a method.
        profiles: names of profiles of the room, or paths of TOML files.
        room: package whose `profiles` folder is searched, e.g. `unpoison.classify`.
        overrides: values that win over all profiles.

    Raises:
        SettingsError: an unknown profile or field, or a value out of range.
    """
    values: dict[str, Any] = {}
    for profile in profiles:
        values.update(read_profile(profile, room))
    values.update(overrides or {})
    try:
        return model(**values)
    except ValidationError as error:
        raise SettingsError(_explain(error, model)) from None


def with_precision(settings: S, precision: Precision | None) -> S:
    """Settings in the precision that was asked for, whatever their profile says; None leaves theirs.

    Those of methods that compute without a network come back as they are.
    """
    if precision is None or "precision" not in type(settings).model_fields:
        return settings
    return settings.model_copy(update={"precision": precision})


def read_profile(profile: str, room: str) -> dict[str, Any]:
    """The fields that a profile sets.

    Args:
        profile: name of a shipped profile, or path of a TOML file.
        room: package whose `profiles` folder holds the shipped ones.

    Raises:
        SettingsError: there is no such profile, or it is not TOML.
    """
    shipped = list_profiles(room)
    if profile in shipped:
        text = (resources.files(room) / "profiles" / f"{profile}.toml").read_text(encoding="utf-8")
    elif profile.endswith(".toml"):
        try:
            text = Path(profile).read_text(encoding="utf-8")
        except OSError as error:
            raise SettingsError(f"profile {profile} cannot be read: {error.strerror}") from None
    else:
        raise SettingsError(f"there is no profile '{profile}'; choose from {', '.join(shipped)}, or name a .toml file")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"profile {profile} is not valid TOML: {error}") from None


def list_profiles(room: str) -> list[str]:
    """Names of the profiles that a room ships."""
    folder = resources.files(room) / "profiles" if room else None
    if folder is None or not folder.is_dir():
        return []
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """`["steps=4", "sigma=12/255"]` to a dict; values are read as TOML where they are, else as text.

    Raises:
        SettingsError: an item has no `=`.
    """
    values: dict[str, Any] = {}
    for item in assignments:
        key, equals, text = item.partition("=")
        if not equals or not key.strip():
            raise SettingsError(f"'{item}' is not of the form key=value")
        try:
            values[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            values[key.strip()] = text
    return values


def _explain(error: ValidationError, model: type[Settings]) -> str:
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{model.__name__} has no setting '{field}'; it has {', '.join(model.model_fields)}"
    return f"setting {field}={first.get('input')!r} of {model.__name__}: {first['msg']}"
