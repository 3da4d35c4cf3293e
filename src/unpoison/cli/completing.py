"""Completions of a shell: methods, attacks, profiles, models, formats, suites and files."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

# Which package has the profiles of a command, and which of its options names the section in them.
_PROFILES = {
    "purify": ("unpoison.purifiers", "method"),
    "distances": ("unpoison.purifiers", "method"),
    "poison": ("unpoison.poisons", "attack"),
    "train": ("unpoison.classify", None),
    "diffusion": ("unpoison.fitting", None),
    "denoiser": ("unpoison.fitting", None),
    "ebm": ("unpoison.fitting", None),
}


def names(known: Iterable[str], *, separator: str = "") -> Complete:
    """Completes one of some names.

    Args:
        known: the names.
        separator: what joins several, as in `jpeg+fast`.
    """

    def complete(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
        return _among(known, typed, separator=separator)

    return complete


def files(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Completes a path."""
    return [CompletionItem(typed, type="file")]


def profiles(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Completes profiles of the command, and of the method that it was given already."""
    from unpoison.core.chains import split_chain
    from unpoison.core.settings import list_profiles

    room, option = _PROFILES.get(context.command.name or "", ("", None))
    section = context.params.get(option) or "" if option else ""
    shipped = dict.fromkeys(name for link in split_chain(section) for name in list_profiles(room, section=link))
    return _among(shipped, typed, separator=",", or_file=True)


def models(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Completes a model that comes with unpoison, or a file."""
    from unpoison.nets.shipped import SHIPPED

    return _among(SHIPPED, typed, or_file=True)


def formats(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Completes a format that is read."""
    from unpoison.data.methods import METHODS

    return _among(METHODS, typed)


def suites(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Completes a suite that comes with unpoison, or a file."""
    from unpoison.bench.shipped import list_suites

    return _among(list_suites(), typed, or_file=True)


def _among(known: Iterable[str], typed: str, *, separator: str = "", or_file: bool = False) -> list[CompletionItem]:
    head, found, last = typed.rpartition(separator) if separator else ("", "", typed)
    items = [CompletionItem(f"{head}{found}{name}") for name in known if name.startswith(last)]
    return items + ([CompletionItem(typed, type="file")] if or_file else [])
