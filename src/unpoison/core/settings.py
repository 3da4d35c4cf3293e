"""Settings of methods: frozen models, filled from profiles (TOML) and from `key=value`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import cache
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from unpoison.core.documents import parse_toml, read_toml
from unpoison.core.errors import SettingsError
from unpoison.core.suggestions import suggest
from unpoison.core.validation import explain

if TYPE_CHECKING:
    import torch


class Settings(BaseModel):
    """Base of every method's settings: frozen, no unknown fields, all fields with defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    # Whether the method computes without sums, with sums of whole numbers, or term by term, so that every processor
    # gives the same bits.
    is_exact: ClassVar[bool] = False

    def named_files(self) -> dict[tuple[str, ...], str]:
        """The text of every setting that names a file and is not empty, by its field; several keys for one within."""
        return {(name,): text for name in file_fields(type(self)) if (text := getattr(self, name))}

    def described(self) -> dict[str, Any]:
        """The settings as manifests and records keep them: files by their names, without this machine's folders."""
        fields = self.model_dump(mode="json")
        for (*above, last), text in self.named_files().items():
            holder = fields
            for name in above:
                holder = holder[name]
            holder[last] = Path(text).name
        return fields

    def prefers_int8(self, device: torch.device) -> bool:
        """Whether `auto` stands for int8: where a network has a form in whole numbers that is as good and as fast."""
        return False

    @model_validator(mode="after")
    def _check_counts(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, int) and abs(value) >= _MANY:
                raise ValueError(f"{name} must stay below {_MANY:,}: no run would come to its end")
        return self


_MANY = 1_000_000  # steps, pictures or pixels
_NUMBER = r"(\d{1,20}(\.\d{0,20})?|\.\d{1,20})(e[+-]?\d{1,2})?"
_FRACTION = re.compile(rf"[+-]?{_NUMBER}(/{_NUMBER})?", re.IGNORECASE)


def _check_length(text: str) -> str:
    text = re.sub(r"\s", "", text)
    try:
        if not _FRACTION.fullmatch(text):
            raise ValueError
        value = bound_value(text)
    except (ValueError, ZeroDivisionError):
        raise ValueError("is no length: write a fraction like 8/255 or 0.4/255, or a number") from None
    if value < 0:
        raise ValueError("must not be negative")
    return text


def _check_bound(text: str) -> str:
    if bound_value(text) > 1:
        meant = "" if "/" in text else f": did you mean {text}/255?"
        raise ValueError(f"is more than 1, the whole range of a pixel{meant}")
    return text


# A length in [0, 1] pixel units, kept as it was written: records say 8/255 and mean exactly that.
Length = Annotated[str, BeforeValidator(str), AfterValidator(_check_length)]

# One that a single value of a pixel can move by, so that it is not above 1.
Bound = Annotated[Length, AfterValidator(_check_bound)]

_IS_FILE = "names a file"
# A path of a file that decides the result, or the name of one that comes with unpoison; empty for none.
FileName = Annotated[str, _IS_FILE]

# In which arithmetic networks compute; `core.precision` knows what auto stands for.
Precision = Literal["auto", "fp32", "bf16"]
# int8 is for networks that have a form in whole numbers, whose bytes are the same on every processor.
PrecisionOrInt8 = Literal["auto", "fp32", "bf16", "int8"]

S = TypeVar("S", bound=Settings)
T = TypeVar("T")


def bound_value(bound: str) -> float:
    """The number that a `Bound` stands for.

    >>> bound_value("0.5"), round(255 * bound_value("0.4/255"), 6)
    (0.5, 0.4)
    """
    top, _, bottom = bound.replace(" ", "").partition("/")
    return float(Fraction(top) / Fraction(bottom or 1))


def file_fields(model: type[Settings]) -> list[str]:
    """The fields of a settings model that name files."""
    return [
        name
        for name, field in model.model_fields.items()
        if _IS_FILE in field.metadata
        or any(_IS_FILE in getattr(option, "__metadata__", ()) for option in get_args(field.annotation))
    ]


def build_settings(
    model: type[S],
    *,
    profiles: Sequence[str] = (),
    room: str = "",
    overrides: Mapping[str, Any] | None = None,
    of: str = "",
) -> S:
    """Fill a settings model: defaults, then the profiles in order, then the overrides.

    Args:
        model: the settings class of a method.
        profiles: names of profiles of the room, or paths of TOML files.
        room: package whose `profiles` folder is searched, e.g. `unpoison.classify`.
        overrides: values that win over all profiles.
        of: whose settings they are, for messages, e.g. `fast`; the class if left out.

    Raises:
        SettingsError: an unknown profile or field, or a value out of range.
    """
    of = of or model.__name__
    values: dict[str, Any] = {}
    for profile in profiles:
        values.update(read_profile(profile, room, model=model, of=of))
    values.update(overrides or {})
    try:
        return model(**values)
    except ValidationError as error:
        raise SettingsError(explain(error, model, of=of)) from None


def called_settings(settings: T | None, build: Callable[..., T], *, profile: str = "", fields: Mapping[str, Any]) -> T:
    """Settings of a Python call, which gives them as an object, or as profiles and single fields.

    Args:
        settings: the object, if there is one.
        build: makes them from `profiles` and `overrides`.
        profile: names of profiles, or TOML files, joined by commas.
        fields: values that win over the profiles.

    Raises:
        SettingsError: both were given, or `build` refuses them.
    """
    if settings is None:
        overrides = {name: str(value) if isinstance(value, PathLike) else value for name, value in fields.items()}
        return build(profiles=profile.split(",") if profile else [], overrides=overrides)
    if profile or fields:
        raise SettingsError(f"settings= holds every field; omit {', '.join(fields) or 'profile'}=, or settings=")
    return settings


def with_precision(settings: S, precision: PrecisionOrInt8 | None, *, of: str = "") -> S:
    """Settings in the precision that was asked for, whatever their profile says; None leaves theirs.

    Those of methods that compute without a network come back as they are.

    Args:
        settings: of a method.
        precision: of its networks.
        of: the method, for the error.

    Raises:
        SettingsError: the method has no such precision.
    """
    field = type(settings).model_fields.get("precision")
    if precision is None or field is None:
        return settings
    if precision not in get_args(field.annotation):
        raise SettingsError(
            f"{of or 'this method'} has no precision {precision}; choose from {', '.join(get_args(field.annotation))}"
        )
    return settings.model_copy(update={"precision": precision})


def read_profile(
    profile: str, room: str, *, section: str = "", model: type[Settings] | None = None, of: str = ""
) -> dict[str, Any]:
    """The fields that a profile sets.

    Args:
        profile: name of a shipped profile, or path of a TOML file, which holds the fields themselves.
        room: package whose `profiles` folder holds the shipped ones.
        section: which section of a shipped profile, in rooms whose profiles have one for each method.
        model: what they are for; shipped profiles that set other fields are for something else.
        of: whose profile it is, for messages.

    Raises:
        SettingsError: there is no such profile, or it is not TOML.
    """
    shipped = list_profiles(room, section=section, model=model)
    if profile in shipped:
        fields = _read_shipped(room)[profile]
        return fields[section] if section else fields
    if not profile.endswith(".toml"):
        choices = f"{suggest(profile, shipped)}, or name a .toml file" if shipped else "; it has none of its own"
        raise SettingsError(f"{of or section or 'it'} has no profile '{profile}'{choices}")
    try:
        return read_toml(Path(profile))
    except OSError as error:
        raise SettingsError(f"profile {profile} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"profile {profile} is not valid TOML: {error}") from None


def list_profiles(room: str, *, section: str = "", model: type[Settings] | None = None) -> list[str]:
    """Names of the profiles that a room ships, or of those for one method.

    Args:
        room: the package.
        section: only those with this section.
        model: only those whose fields it has.
    """
    return [
        name
        for name, fields in _read_shipped(room).items()
        if (not section or section in fields) and (model is None or fields.keys() <= model.model_fields.keys())
    ]


@cache
def _read_shipped(room: str) -> dict[str, dict[str, Any]]:
    """The contents of a room's profiles, by name."""
    folder = resources.files(room) / "profiles" if room else None
    if folder is None or not folder.is_dir():
        return {}
    files = {file.name.removesuffix(".toml"): file for file in folder.iterdir() if file.name.endswith(".toml")}
    return {name: tomllib.loads(file.read_text(encoding="utf-8")) for name, file in sorted(files.items())}


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
            values[key.strip()] = parse_toml(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            values[key.strip()] = text
        except ValueError as error:
            raise SettingsError(f"{key.strip()}={text[:40]}: {error}") from None
    return values
