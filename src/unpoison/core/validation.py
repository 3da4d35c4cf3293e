"""Errors of pydantic in words that people who write settings know."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from unpoison.core.suggestions import suggest

_SHOWN = 60  # signs of a wrong value

# By pydantic's name of the error. What stands in braces is its context.
_WORDS = {
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "literal_error": "must be {expected}",
    "too_short": "needs at least {min_length} entries",
    "too_long": "may have {max_length} entries at most",
    "string_too_long": "may have {max_length} signs at most",
    "string_pattern_mismatch": "must be of the form {pattern}",
    "missing": "is missing",
}
_KINDS = {
    "int": "must be a whole number",
    "float": "must be a number",
    "finite": "must be a number",
    "bool": "must be true or false",
    "string": "must be text",
    "list": "must be a list, as in [1, 2] or ['a', 'b']",
    "tuple": "must be a list, as in [1, 2] or ['a', 'b']",
    "dict": "must be a table of names and values",
    "model": "must be a table of names and values",
}


def explain(error: ValidationError, model: type[BaseModel], *, of: str) -> str:
    """The first thing that is wrong.

    Args:
        error: what pydantic raised.
        model: what was to be filled.
        of: whose fields they are, as the user knows it: a method, or a file.
    """
    first = error.errors(include_url=False)[0]
    where = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        parent = ".".join(where[:-1])
        fields = _model_at(model, where[:-1]).model_fields
        return f"{of}{f', {parent},' if parent else ''} has no setting '{where[-1]}'{suggest(where[-1], fields)}"
    field = ".".join(where)
    shown = "" if first["type"] == "missing" else f"={_shorten(first.get('input'))}"
    return f"{of}: {field}{shown} {_words(first)}" if field else f"{of}: {_words(first)}"


def _words(first: Any) -> str:
    kind = str(first["type"])
    if kind in _WORDS:
        return _WORDS[kind].format(**first["ctx"]) if "ctx" in first else _WORDS[kind]
    if kind == "value_error":
        return str(first["ctx"]["error"])
    return _KINDS.get(kind.split("_")[0], str(first["msg"]))


def _shorten(value: Any) -> str:
    shown = value if isinstance(value, str) else repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def _model_at(model: type[BaseModel], where: Sequence[str]) -> type[BaseModel]:
    """The model that a place within another is filled with."""
    for part in where:
        if part in model.model_fields:
            model = next(_models_in(model.model_fields[part].annotation), model)
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models_in(inner)
