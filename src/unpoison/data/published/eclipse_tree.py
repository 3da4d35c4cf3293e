"""Folders that follow ECLIPSE's naming of data and checkpoints.

Its sets are read as splits of the folder: `ROOT#EM` is a poisoned set, `ROOT#EM-pure-test2000ps8000-100-250000` is the
same purified with that sparse set, t and iteration.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.data.format import Format
from unpoison.data.published.eclipse_pickle import read_eclipse_pickle

_POISONED = re.compile(r"poisoned_data/cifar10/(?P<poison>[^/]+)\.pkl")
_PURIFIED = re.compile(
    r"purified_data/cifar10/(?P<sparse_set>[^/]+)/(?P<t>\d+)/(?P<iteration>\d+)/(?P<poison>[^/]+)-pure\.pkl"
)
_CHECKPOINT = re.compile(r"diff_ckpt/cifar10/(?P<sparse_set>[^/]+)/ema_(?P<rate>\d+(?:\.\d+)?)_(?P<step>\d+)\.pt")


@dataclass(frozen=True)
class PoisonedFile:
    """A poisoned set, `<poison>.pkl`."""

    path: Path
    poison: str

    @property
    def name(self) -> str:
        """As which split it is read."""
        return self.poison


@dataclass(frozen=True)
class PurifiedFile:
    """A poisoned set after purification.

    Args:
        path: the file.
        sparse_set: name of the clean set that the diffusion model was trained on, e.g. `test2000ps8000`.
        t: diffusion steps of the purification.
        iteration: training step of the model used.
        poison: name of the poison.
    """

    path: Path
    sparse_set: str
    t: int
    iteration: int
    poison: str

    @property
    def name(self) -> str:
        """As which split it is read."""
        return f"{self.poison}-pure-{self.sparse_set}-{self.t}-{self.iteration}"


@dataclass(frozen=True)
class Checkpoint:
    """An averaged diffusion model.

    Args:
        path: the file.
        sparse_set: name of the clean set that it was trained on.
        rate: rate of the moving average, e.g. 0.9999.
        step: training step.
    """

    path: Path
    sparse_set: str
    rate: float
    step: int


@dataclass(frozen=True)
class EclipseTree:
    """All files found, each kind by path."""

    poisoned: tuple[PoisonedFile, ...]
    purified: tuple[PurifiedFile, ...]
    checkpoints: tuple[Checkpoint, ...]


def list_tree(root: Path) -> EclipseTree:
    """List the files below `root` whose names follow the conventions; others are left alone. Opens none.

    Args:
        root: folder that holds `poisoned_data`, `purified_data` and `diff_ckpt`, or some of them.
    """
    return EclipseTree(
        tuple(PoisonedFile(path, **parts) for path, parts in _match(root, _POISONED, "poisoned_data")),
        tuple(
            PurifiedFile(path, parts["sparse_set"], int(parts["t"]), int(parts["iteration"]), parts["poison"])
            for path, parts in _match(root, _PURIFIED, "purified_data")
        ),
        tuple(
            Checkpoint(path, parts["sparse_set"], float(parts["rate"]), int(parts["step"]))
            for path, parts in _match(root, _CHECKPOINT, "diff_ckpt")
        ),
    )


def _match(root: Path, pattern: re.Pattern[str], folder: str) -> Iterator[tuple[Path, dict[str, str]]]:
    for path in sorted((root / folder).rglob("*")):
        match = pattern.fullmatch(path.relative_to(root).as_posix())
        if match and path.is_file():
            yield path, match.groupdict()


def read_tree(root: Path, split: str | None) -> ImageSet:
    """Read one of the sets below `root`.

    Raises:
        SettingsError: none was named, or there is no such set.
    """
    tree = list_tree(root)
    files = {file.name: file.path for file in tree.poisoned} | {file.name: file.path for file in tree.purified}
    if split not in files:
        asked = "name one of its sets" if split is None else f"it has no set '{split}'"
        raise SettingsError(f"{root} is a folder of ECLIPSE: {asked}, as in {root}#NAME: {', '.join(sorted(files))}")
    return read_eclipse_pickle(files[split], None)


FORMAT = Format(
    claims=lambda path: any((path / folder / "cifar10").is_dir() for folder in ("poisoned_data", "purified_data")),
    read=read_tree,
)
