"""The clean set that the page of an audit shows beside every set: what was drawn of it once."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

import numpy as np
from PIL import Image

from unpoison.auditing.views import SIDE
from unpoison.reporting.audit.drawings import Bars

ABOUT = "2,000 photographs of 20 classes of Tiny-ImageNet, shrunk to 32x32 and known to be clean"
FOLDER = resources.files("unpoison.reporting.audit") / "tiny_imagenet"
BARS_FILE = "bars.json"


def clean_tiles(kind: str) -> np.ndarray:
    """[n, 32, 32, 3] uint8 of a kind of evidence; benchmarks/audit_clean_pictures.py made them."""
    with (FOLDER / f"{kind}.png").open("rb") as file:
        row = np.asarray(Image.open(file).convert("RGB"))
    return np.stack(np.split(row, row.shape[1] // SIDE, axis=1))


@cache
def clean_bars() -> dict[str, Bars]:
    """Counts for each kind of evidence that has any."""
    stored = json.loads((FOLDER / BARS_FILE).read_text())
    return {kind: Bars(one["low"], one["high"], np.array(one["shares"])) for kind, one in stored.items()}
