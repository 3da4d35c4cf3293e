"""The demos, by the purifier that they show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unpoison.core.errors import SettingsError

# The rows and columns that the page, the pictures and the printed figures speak of; every suite has them.
CLEAN, POISONED = "none", "lsp"
UNDEFENDED, JPEG, PURIFIED = "none", "jpeg-10", "purified"


@dataclass(frozen=True)
class Demo:
    """A demo: everything about it but the words stands in its suite.

    Args:
        suite: file of this folder. Suites differ in the model they fit, in what purifies, and in nothing else.
        how: how its purification works, in a sentence.
    """

    suite: str
    how: str


METHODS = {
    "fast": Demo(
        "digits.toml",
        "Purification adds noise that drowns the perturbation and removes it with a small diffusion model fitted on "
        "200 clean digits.",
    ),
    "puregen-ebm": Demo(
        "digits-puregen-ebm.toml",
        "Purification moves every picture, in many small and noisy steps, towards what an energy model fitted on 200 "
        "clean digits finds natural.",
    ),
    "puregen-ddpm": Demo(
        "digits-puregen-ddpm.toml",
        "Purification adds the noise of the first 150 of 1,000 steps of a diffusion process, and walks back with a "
        "small model fitted on 200 clean digits, which knows the first 250 of these steps alone.",
    ),
}


def check_names(suite: str, attacks: Mapping[str, Any], defences: Mapping[str, Any]) -> None:
    """Refuse a suite without the rows and columns of a demo.

    Args:
        suite: its name.
        attacks: its rows.
        defences: its columns.

    Raises:
        SettingsError: names what is missing.
    """
    for section, names, found in (
        ("attacks", (CLEAN, POISONED), attacks),
        ("defences", (UNDEFENDED, JPEG, PURIFIED), defences),
    ):
        for name in names:
            if name not in found:
                raise SettingsError(f"suite {suite} is no demo: [{section}] lacks '{name}'; write [{section}.{name}]")
