"""Weights that come with the package, by the names that `--model` takes. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from unpoison.core.errors import ModelError
from unpoison.core.settings import Settings
from unpoison.core.suggestions import suggest

SHIPPED = {
    "pocket": "pocket.safetensors",
    "pocket-free": "pocket-free.safetensors",
    "ebm-small": "ebm-small.safetensors",
    "ddpm250-small": "ddpm250-small.safetensors",
}


def weights_path(model: str) -> Path:
    """The file that a model's name or path stands for.

    Args:
        model: name of shipped weights, or path of a weight file; `./pocket` is a path.
    """
    if model in SHIPPED:
        return Path(str(resources.files("unpoison.nets.shipped") / SHIPPED[model]))
    return Path(model)


def check_model(model: str) -> None:
    """Whether there is such a model.

    Raises:
        ModelError: there is not; names the nearest.
    """
    if not weights_path(model).exists():
        raise ModelError(f"there is no model '{model}'{suggest(model, SHIPPED)}, or name a file")


def check_models(settings: Mapping[str, Settings]) -> None:
    """Whether there are the models that the settings of a run name.

    Raises:
        ModelError: one is missing.
    """
    for link in settings.values():
        for model in link.named_files().values():
            check_model(model)
