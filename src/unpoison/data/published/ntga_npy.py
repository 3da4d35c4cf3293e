"""Neural tangent generalization attacks: a folder of `.npy` arrays in an order of their own.

`FOLDER` is the poisoned set, `FOLDER#cnn_best` one of several, `FOLDER#clean` the clean set that they were made from.

Reference: Yuan and Wu, Neural Tangent Generalization Attacks, 2021, https://proceedings.mlr.press/v139/yuan21b.html.
"""

from __future__ import annotations

import re
from pathlib import Path

from unpoison.core.errors import DataError, SettingsError
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.data.format import Format
from unpoison.data.published.arrays import check_labels, class_of_one_hot, name_cifar, to_pictures
from unpoison.data.safe.npy import read_npy

_ARRAY = re.compile(r"x_train_(?P<set>[a-z0-9]+)(?:_ntga_(?P<kind>\w+))?\.npy")


def read_ntga(path: Path, split: str | None) -> ImageSet:
    """Read one set: pictures in [0, 1], rounded to 8 bits, with one-hot labels.

    Raises:
        SettingsError: there is no such set, or several and none was named.
    """
    file = choose_file(path, split)
    images = to_pictures(file, read_npy(file), unit=1, quantise="round")
    named = _ARRAY.fullmatch(file.name)
    label_file = path / f"y_train_{named['set'] if named else 'cifar10'}.npy"
    labels = check_labels(label_file, class_of_one_hot(label_file, read_npy(label_file)), len(images))
    image_set = ArrayImageSet(images, labels, class_names=name_cifar(file, labels, images), name=file.stem)
    image_set.format = "ntga-npy"
    return image_set


def choose_file(path: Path, split: str | None) -> Path:
    """The array of the set asked for.

    Raises:
        SettingsError: there is no such set, or several and none was named.
    """
    files = _list_files(path)
    poisoned = [name for name in files if name != "clean"]
    if not files:
        raise DataError(path, "it holds no x_train_*.npy", "Name the folder of NTGA's arrays")
    if split is None and len(poisoned) == 1:
        split = poisoned[0]
    if split is None or split not in files:
        asked = "name one of its sets" if split is None else f"it has no set '{split}'"
        raise SettingsError(f"{path} is a folder of NTGA: {asked}, as in {path}#NAME: {', '.join(sorted(files))}")
    return files[split]


def _list_files(path: Path) -> dict[str, Path]:
    if not path.is_dir():
        return {}
    found = ((_ARRAY.fullmatch(file.name), file) for file in sorted(path.iterdir()))
    return {match["kind"] or "clean": file for match, file in found if match}


FORMAT = Format(claims=lambda path: bool(_list_files(path)), read=read_ntga)
