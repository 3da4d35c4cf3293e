"""PureGen's folder of poisons. Each is named by its path: `ROOT#GradientMatching/cifar10/7`.

`hf://SunayBhat1/puregen-poisons#GradientMatching/cifar10/7` downloads that one. The trigger of Narcissus for class 2 is
`Narcissus/cifar10/size=32_eps=8/2`; a file of Bullseye Polytope bears the name of its folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import torch

from unpoison.core.errors import DataError, SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.methods import load_method
from unpoison.core.settings import Bound, Settings, build_settings
from unpoison.data.formats.hub import fetch_files
from unpoison.data.published.names import by_number, list_names
from unpoison.poisons.published.base import Published, PublishedFormat
from unpoison.poisons.published.methods import METHODS

_FAMILIES = ("GradientMatching", "Bullseye_Polytope", "Transfer_Bench", "Narcissus", "NTG")
_TRIGGER = re.compile(r"best_noise_lab(\d{1,3})\.npy")
_BULLSEYE = re.compile(r"poison_\d{1,9}\.pth")


class PuregenTreeSettings(Settings):
    """Settings of the formats in the tree; each takes those it has.

    Args:
        bound: largest change allowed; that of the poison's format if left out.
        images: how many pictures get a trigger of Narcissus.
        target_row: row of the target of Bullseye Polytope in the clean set.
    """

    bound: Bound | None = None
    images: int | None = None
    target_row: int | None = None


def list_poisons(root: Path) -> dict[str, tuple[str, Path]]:
    """The poisons below a folder: name -> (format, path). Links to elsewhere are not followed.

    Args:
        root: the folder that holds `GradientMatching`, `Narcissus` and so on, or a folder below it.
    """
    found = dict(_walk(root))
    return {name: found[name] for name in sorted(found, key=by_number)}


def read_tree(
    path: Path, part: str | None, clean: ImageSet, settings: PuregenTreeSettings, source: torch.Generator
) -> Published:
    """Lay one of the poisons over the clean set.

    Raises:
        SettingsError: none was named, or there is no such poison.
    """
    root = _fetch(path, part)
    poisons = list_poisons(root)
    if not poisons:
        raise DataError(path, "it holds no poisons of PureGen", f"Name a folder with {', '.join(_FAMILIES)}")
    if part is None or part.strip("/") not in poisons:
        asked = "name one of its poisons" if part is None else f"it has no poison '{part}'"
        raise SettingsError(f"{path} is a folder of PureGen: {asked}, as in {path}#NAME: {list_names(poisons)}")
    name, where = poisons[part.strip("/")]
    method: PublishedFormat = load_method(METHODS, name, kind="published format")
    chosen = {key: value for key, value in settings if value is not None}
    return method.read(where, None, clean, build_settings(method.settings, overrides=chosen, of=name), source)


def _fetch(path: Path, part: str | None) -> Path:
    if path.parts[:1] != ("hf:",):  # a Path turns hf://owner/name into hf:/owner/name
        return path
    if len(path.parts) != 3:
        raise DataError("/".join(path.parts), "it names no set of the Hub", "Write hf://owner/name#NAME")
    if part is None:
        raise SettingsError(
            f"name the poison to download, as in hf://{'/'.join(path.parts[1:])}#GradientMatching/cifar10/7"
        )
    wanted = part.strip("/")
    folder, _, last = wanted.rpartition("/")
    return fetch_files("/".join(path.parts[1:]), [f"{wanted}/*", f"{folder}/best_noise_lab{last}.npy"])


def _walk(root: Path) -> Iterator[tuple[str, tuple[str, Path]]]:
    for file in sorted(root.rglob("*")):
        where = file.parent.relative_to(root).as_posix()
        if file.name == "poisons.pickle":
            yield where, ("benchmark-dir", file.parent)
        elif _BULLSEYE.fullmatch(file.name):
            yield where, ("bullseye-pth", file)
        elif match := _TRIGGER.fullmatch(file.name):
            yield f"{where}/{match[1]}", ("narcissus-npy", file)
        elif file.name == "x_train_cifar10_ntga_cnn_best.npy":
            yield where, ("ntga-npy", file.parent)


def _claims(path: Path) -> bool:
    return path.parts[:1] == ("hf:",) or any((path / family).is_dir() for family in _FAMILIES)


FORMAT = PublishedFormat(claims=_claims, read=read_tree, settings=PuregenTreeSettings)
