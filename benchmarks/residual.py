"""What defences leave of a perturbation at each fineness of detail, and how well their own error hides it.

    python benchmarks/residual.py FOLDER_OF_NPZ --out results/residual

The folder holds clean pictures, `clean.npz`, and poisoned ones of the same pictures, as for default_tuning.py. With d
the perturbation, r = P(x + d) - P(x) what a purifier P leaves of it, with the same noise for both, and e = P(x + d) - x
all that is then wrong with a picture, each band of frequencies has <r, d> / <d, d>, the part of the perturbation that
passes, and <r, d> / (|d| |e|), how much of the error it is: what a network can see of it that looks in that band only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from proxy import purify
from torch import Tensor

from unpoison.auditing.candidates import Candidate
from unpoison.auditing.formulas import bands, energy_ratio, residual_ratio
from unpoison.core.device import choose_device, describe_device, versions
from unpoison.core.files import write_json, write_text
from unpoison.core.images import ImageSet
from unpoison.core.pixels import to_float
from unpoison.data import read

DEFENCES = {
    "jpeg-10": Candidate("jpeg", settings={"quality": 10}),
    "despeckle+fast": Candidate("despeckle+fast"),
    "despeckle+fast, strong": Candidate("despeckle+fast", ("strong",)),
    "despeckle+jpeg+fast": Candidate("despeckle+jpeg+fast", settings={"jpeg.quality": 25, "fast.sigma": "12/255"}),
}


@click.command()
@click.argument("sets", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for residual.json and table.md.")
def main(sets: Path, out: Path) -> None:
    """Measure every defence on every set."""
    clean = read(sets / "clean.npz")
    poisoned = {path.stem: read(path) for path in sorted(sets.glob("*.npz")) if path.stem != "clean"}
    before = to_float(clean.array())
    found: dict[str, dict[str, Any]] = {name: {} for name in poisoned}
    for title, candidate in DEFENCES.items():
        alone = _purified(clean, candidate)
        for name, image_set in poisoned.items():
            click.echo(f"{title}: {name}")
            left = _purified(image_set, candidate)
            found[name][title] = residual(before, to_float(image_set.array()), alone, left)
    record = {
        "sets": found,
        "hashes": {"clean": clean.content_hash, **{name: one.content_hash for name, one in poisoned.items()}},
        "defences": {
            title: {name: link.described() for name, link in candidate.build().items()}
            for title, candidate in DEFENCES.items()
        },
        "versions": versions(),
        "device": describe_device(choose_device()),
    }
    write_json(out / "residual.json", record)
    write_text(out / "table.md", describe(found, len(clean), record["device"]))
    click.echo((out / "table.md").read_text(encoding="utf-8"))


def residual(clean: Tensor, poisoned: Tensor, alone: Tensor, left: Tensor) -> dict[str, dict[str, float]]:
    """Share of the perturbation's energy, part of it that passes, and part of the error that it is, by band.

    Args:
        clean: x, [N, C, H, W] in [0, 1].
        poisoned: x + d.
        alone: P(x).
        left: P(x + d).
    """
    difference = poisoned - clean
    passed, error = bands(left - alone), bands(left - clean)
    found = {}
    for name, band in bands(difference).items():
        passes = residual_ratio(passed[name], band)
        visible = passes / energy_ratio(error[name], band) ** 0.5
        found[name] = {"share": energy_ratio(band, difference), "passes": passes, "visible": visible}
    return found


def describe(found: dict[str, dict[str, Any]], pictures: int, device: object) -> str:
    """A row for each set and defence: what passes in each band, and in brackets how much of the error it is."""
    rows = []
    for name, defences in found.items():
        one = next(iter(defences.values()))
        head = " | ".join(f"{band}, {100 * cell['share']:.0f} % of it" for band, cell in one.items())
        rows += [f"| {name} | {head} |", f"|---|{'---|' * len(one)}"]
        for title, cells in defences.items():
            values = " | ".join(f"{cell['passes']:.2f} ({cell['visible']:.2f})" for cell in cells.values())
            rows.append(f"| {title} | {values} |")
        rows.append("")
    rows.append(
        "Part of the perturbation that is left, 1 where all of it passes; in brackets its correlation with all that is "
        "then wrong with the pictures, by which it can be seen. `coarse` is waves of more than 8 pixels, `fine` of "
        f"less than 4. {pictures:,} pictures. Device: {device}."
    )
    return "\n".join(rows) + "\n"


def _purified(image_set: ImageSet, candidate: Candidate) -> Tensor:
    return to_float(purify(image_set, candidate))


if __name__ == "__main__":
    main()
