"""A folder of numbered pictures: the form in which TAP, AR, EntF, ISS and APBench exchange poisons.

`17.png` takes the place of row 17 of the clean set. A folder with some of the rows is a partial poison.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from unpoison.core.errors import DataError
from unpoison.core.images import ImageSet
from unpoison.core.methods import load_method
from unpoison.data.formats.numbered import read_numbered
from unpoison.data.methods import METHODS as DATA_FORMATS
from unpoison.poisons.published.alignment import verify_alignment
from unpoison.poisons.published.base import NoSettings, Published, PublishedFormat


def read_png_dir(
    path: Path, part: str | None, clean: ImageSet, settings: NoSettings, source: torch.Generator
) -> Published:
    """Replace the rows that the pictures' names say."""
    pictures = read_numbered(path, None)
    rows = np.array(pictures.numbers)
    if rows[-1] >= len(clean):
        raise DataError(
            path / pictures.files[-1],
            f"{clean.name} has only {len(clean)} pictures",
            "Name the clean set that the poison was made from",
        )
    images = pictures.array()
    alignment = verify_alignment(clean, images, None, file=path, rows=rows)
    facts = {"alignment": alignment.describe(), "pictures": pictures.content_hash}
    return Published(rows, images, (), facts=facts)


FORMAT = PublishedFormat(
    claims=load_method(DATA_FORMATS, "numbered", kind="format").claims,
    read=read_png_dir,
)
