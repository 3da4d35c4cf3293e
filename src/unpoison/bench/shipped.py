"""Suites that come with the package, by the names that `unpoison bench` takes. Needs no torch."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from unpoison.core.errors import SettingsError
from unpoison.core.suggestions import suggest


def list_suites() -> dict[str, Path]:
    """The file of each suite, by name."""
    folder = Path(str(resources.files("unpoison.bench") / "suites"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def suite_path(suite: str) -> Path:
    """The file that a suite's name or path stands for.

    Args:
        suite: name of a suite that comes with unpoison, or path of a TOML file.

    Raises:
        SettingsError: there is neither.
    """
    path, shipped = Path(suite), list_suites()
    if path.is_file() or path.suffix == ".toml":
        return path
    if suite not in shipped:
        raise SettingsError(f"there is no suite '{suite}'{suggest(suite, shipped)}, or name a .toml file")
    return shipped[suite]
