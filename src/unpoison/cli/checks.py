"""Checks before a command imports torch, which takes seconds: names, profiles and sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


def check_methods(table: Mapping[str, str], asked: str, *, kind: str) -> None:
    """Whether there are all methods of a chain such as `jpeg+fast`.

    Raises:
        SettingsError: there is no such method.
    """
    from unpoison.core.chains import split_chain
    from unpoison.core.methods import check_method

    for name in split_chain(asked):
        check_method(table, name, kind=kind)


def check_profiles(profiles: Sequence[str], asked: str, *, room: str) -> None:
    """Whether all methods of a chain have these profiles.

    Raises:
        SettingsError: there is none of this name, or its file cannot be read.
    """
    from unpoison.core.chains import split_chain
    from unpoison.core.settings import read_profile

    for name in split_chain(asked):
        for profile in profiles:
            read_profile(profile, room, section=name)


def check_sources(*sources: str | None, input_format: str | None = None) -> None:
    """Whether the sets that were named are there.

    Args:
        sources: what `read` takes; None is passed over.
        input_format: format of the first, if the user named it.

    Raises:
        DataError: a file is missing, or of no known format.
        SettingsError: there is no such format.
    """
    from unpoison.core.methods import check_method
    from unpoison.data import detect_format
    from unpoison.data.methods import METHODS
    from unpoison.data.sources import parse_source

    for number, source in enumerate(sources):
        if source is None:
            continue
        if number == 0 and input_format:
            check_method(METHODS, input_format, kind="format")
        else:
            detect_format(parse_source(source).path)


def check_paths(*paths: Path | None) -> None:
    """Whether files and folders other than sets are there; None is passed over.

    Raises:
        DataError: one is missing.
    """
    from unpoison.core.errors import DataError

    for path in paths:
        if path is not None and not path.exists():
            raise DataError(path, "there is no such file or folder", "Check the spelling")
