"""The drawings of a clean set that the page of an audit shows beside those of the set.

    python benchmarks/audit_clean_pictures.py TINY     # half a minute

Audits 2,000 pictures of 20 classes of Tiny-ImageNet, shrunk to 32x32, and stores what the page draws of them: a
picture of means or spectra for each kind of evidence, and counts. None of it shows a picture of the set.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np
from PIL import Image

from unpoison.auditing.audit import audit_set
from unpoison.core.files import write_json
from unpoison.reporting.audit.clean import BARS_FILE, FOLDER
from unpoison.reporting.audit.drawings import draw_bars, draw_tiles

sys.path.insert(0, str(Path(__file__).parent))
from clean_sets import clean_sets

_COLOURS = 64  # of the stored pictures, for they are in every installation


@click.command()
@click.argument("tiny", type=click.Path(exists=True))
def main(tiny: str) -> None:
    """Draw the clean set."""
    audit = audit_set(clean_sets(tiny, tiny)["tiny"](), device="cpu")
    view, bars = audit.views["detail"], {}
    folder = Path(str(FOLDER))
    for kind, evidence in audit.evidence["detail"].items():
        if (tiles := draw_tiles(kind, view, evidence)) is not None:
            row = np.concatenate(list(tiles.images), axis=1)
            Image.fromarray(row).quantize(_COLOURS).save(folder / f"{kind}.png", optimize=True)
        if (counted := draw_bars(kind, evidence)) is not None:
            bars[kind] = {
                "low": counted.low,
                "high": counted.high,
                "shares": np.round(counted.shares, 4).tolist(),
            }
    write_json(folder / BARS_FILE, bars)


if __name__ == "__main__":
    main()
