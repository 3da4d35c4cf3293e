"""Published sets that hold every picture: they take the place of the clean set, if they stand in its order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from unpoison.core.classes import match_classes
from unpoison.core.images import ImageSet
from unpoison.core.methods import load_method
from unpoison.data.format import is_file
from unpoison.data.formats.npz import FORMAT as NPZ
from unpoison.data.methods import METHODS as DATA_FORMATS
from unpoison.data.published.ntga_npy import choose_file
from unpoison.data.published.sep_npy import list_parts
from unpoison.data.published.tap_npy import LABELS, PICTURES
from unpoison.data.safe.opcodes import outline_pickle
from unpoison.poisons.protocol import Quantise
from unpoison.poisons.published.alignment import verify_alignment
from unpoison.poisons.published.base import NoSettings, Published, PublishedFormat

ListFiles = Callable[[Path, str | None], tuple[Path, ...]]


def _whole_set(
    name: str,
    *,
    list_files: ListFiles = lambda path, _: (path,),
    quantise: Quantise | None = None,
    claims: Callable[[Path], bool] | None = None,
) -> PublishedFormat:
    """A published form of a data format.

    Args:
        name: name of the data format that reads the pictures.
        list_files: the files that a set is read from, for their hashes.
        quantise: how the reader makes 8 bits; None where the file holds 8 bits.
        claims: how it is recognised, if not like the data format.
    """
    data_format = load_method(DATA_FORMATS, name, kind="format")

    def read(path: Path, part: str | None, clean: ImageSet, settings: NoSettings, source: torch.Generator) -> Published:
        found = data_format.read(path, part)
        images = found.array()
        if set(found.class_names) == set(clean.class_names):
            found = match_classes(found, clean.class_names, wanted_by=clean.name)
        # Others, whose names may be our guess, must have the very numbers of the clean set, row by row.
        labels = None if (found.labels < 0).all() else found.labels
        alignment = verify_alignment(clean, images, labels, file=path)
        facts = {"alignment": alignment.describe(), **({"quantise": quantise} if quantise else {})}
        return Published(np.arange(len(clean)), images, list_files(path, part), facts=facts)

    return PublishedFormat(claims=claims or data_format.claims, read=read)


DELUSIVE = _whole_set("delusive-pt", quantise="truncate")
AVATAR = _whole_set("npz", claims=NPZ.claims)
ECLIPSE = _whole_set(
    "eclipse-pkl",
    claims=lambda path: is_file(path, ".pkl", ".pickle") and outline_pickle(path).top == "list",
)
TAP = _whole_set("tap-npy", list_files=lambda path, _: (path / PICTURES, path / LABELS))
SEP = _whole_set("sep-npy", list_files=lambda path, _: tuple(part for _, part in list_parts(path)), quantise="truncate")
# Its pictures have an order of their own, so the clean set must be its own as well: FOLDER#clean.
NTGA = _whole_set("ntga-npy", list_files=lambda path, part: (choose_file(path, part),), quantise="round")
