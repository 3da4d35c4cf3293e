"""PureGen's folders of purified sets, `PureGen_PoisonDefense` or `PureGen_PurifiedData`.

Its sets are read as splits of the folder, by their path in it: `ROOT#cifar10/JPEG[75]` is a whole set,
`ROOT#cifar10/Poisons/from_scratch/Narcissus/size=32_eps=8_num=500/JPEG[75]/3` the poisons of one target alone, which
`unpoison poison 'ROOT#cifar10/JPEG[75]' DST --from THE_FILE` lays over it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from unpoison.core.errors import DataError, SettingsError
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.data.format import Format
from unpoison.data.official.stl10 import CLASSES as STL10_CLASSES
from unpoison.data.published.names import by_number, list_names
from unpoison.data.published.puregen_pth import read_puregen

DATASETS = ("cifar10", "cinic10", "stl10", "tinyimagenet")
_KEY = r"(?P<key>[^/\[]+\[[^/]*/[^/]*|[^/]+)"  # a name from the Hub may hold a slash
_WHOLE = re.compile(rf"(?P<dataset>[^/]+)/(?:(?P<poison>NTG|TransferBase)/)?{_KEY}\.pt")
_TARGET = re.compile(
    rf"(?P<dataset>[^/]+)/Poisons/(?P<mode>[^/]+)/(?P<poison>[^/]+)/(?:(?P<variant>\w+=[^/]*)/)?{_KEY}/(?P<target>\d{{1,4}})\.pth"
)


@dataclass(frozen=True)
class PuregenSet:
    """One file of the tree.

    Args:
        path: the file.
        name: as which split it is read.
        dataset: `cifar10`, `cinic10`, `stl10` or `tinyimagenet`.
        key: its data key as it stands.
        poison: `Narcissus`, `GradientMatching`, ..., `NTG` or `TransferBase`; empty for the purified clean set.
        mode: `from_scratch`, ..., where the poisons are of one target.
        variant: what the folder says of the poison, e.g. `size=32_eps=8_num=500`.
        target: which class or target the poisons are for; None for a whole set.
    """

    path: Path
    name: str
    dataset: str
    key: str
    poison: str = ""
    mode: str = ""
    variant: str = ""
    target: int | None = None


def list_sets(root: Path) -> list[PuregenSet]:
    """The sets below `root`, by path; other files and links that lead out of it are left alone. Opens none."""
    found = []
    for dataset in DATASETS:
        for path in sorted((root / dataset).rglob("*.pt*"), key=lambda path: by_number(path.as_posix())):
            if not path.is_file() or not path.resolve().is_relative_to(root.resolve()):
                continue
            inside = path.relative_to(root).as_posix()
            match = _WHOLE.fullmatch(inside) or _TARGET.fullmatch(inside)
            if match:
                said = {name: value or "" for name, value in match.groupdict().items()}
                target = said.pop("target", None)
                name = inside.rpartition(".")[0]
                found.append(PuregenSet(path, name, **said, target=None if target is None else int(target)))
    return found


def read_sets(root: Path, split: str | None) -> ImageSet:
    """Read one of the sets below `root`.

    Raises:
        SettingsError: none was named, or there is no such set.
        DataError: the folder holds none.
    """
    sets = {found.name: found for found in list_sets(root)}
    if not sets:
        raise DataError(root, "it holds no purified sets of PureGen", f"Name a folder with {', '.join(DATASETS)}")
    if split not in sets:
        asked = "name one of its sets" if split is None else f"it has no set '{split}'"
        raise SettingsError(f"{root} is a folder of PureGen: {asked}, as in {root}#NAME: {list_names(sets)}")
    chosen = sets[split]
    image_set = read_puregen(chosen.path, None)
    if chosen.dataset != "stl10":
        return image_set
    renamed = ArrayImageSet(image_set.array(), image_set.labels, class_names=STL10_CLASSES, name=image_set.name)
    renamed.format = image_set.format
    return renamed


def _claims(path: Path) -> bool:
    folders = [path / dataset for dataset in DATASETS if (path / dataset).is_dir()]
    return any((folder / "Poisons").is_dir() or any(folder.glob("*.pt")) for folder in folders)


FORMAT = Format(claims=_claims, read=read_sets)
