"""What an energy model sees of every poison, from the poisoned sets that `bench` left in its caches.

    python benchmarks/energy_ranks.py results/poisons results/narcissus --root FOLDER_OF_THE_PARQUET_FILES \
        --root FOLDER_WITH_BOTH_SETS --out results/puregen-energies

With the energy model that comes with unpoison. `puregen-filt` purifies the half with the highest energies: the table
says whether the poison is in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from unpoison.bench.sharing import changed_rows
from unpoison.bench.suite import read_suite
from unpoison.core.device import choose_device, describe_device, versions
from unpoison.core.files import write_json, write_text
from unpoison.core.images import ImageSet
from unpoison.core.manifest import read_manifest
from unpoison.core.records import read_records
from unpoison.data import read
from unpoison.nets.protocols import EnergyModel
from unpoison.purifiers.energies import measure_energies
from unpoison.purifiers.settings import purifier_settings
from unpoison.purifiers.weights import load_energy
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.run import PurifyRun

NOTE = """
Energies by `ebm-small`, which saw neither CIFAR-10 nor any poison. Higher than its clean picture: share of the poisoned
pictures. Higher than a clean one: chance that a poisoned picture has a higher energy than a clean picture of the same
set, any (50 % tells nothing). The clean pictures went through JPEG once, the poisons did not, so the same again after
both have gone through JPEG of quality 90. In the upper half: of the set as it came, share of the poisoned pictures that
are among the half with the highest energies; where all pictures are poisoned, that says nothing. One set for each line.
"""


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--root", "roots", multiple=True, type=click.Path(path_type=Path), help="A suite's paths start in one.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for energies.json and table.md.")
@click.option("--device", default="auto", show_default=True)
def main(folders: tuple[Path, ...], roots: tuple[Path, ...], out: Path, device: str) -> None:
    """Rank every poisoned set of the suites in FOLDERS."""
    place = choose_device(device)
    model, weights = load_energy("ebm-small", method="energies", precision="fp32", device=place)
    found = [row for folder in folders for row in rank_suite(folder, roots, model, place)]
    head = [
        "attack",
        "poisoned",
        "higher than its clean picture, %",
        "higher than a clean one, %",
        "the same, both through JPEG 90, %",
        "in the upper half, %",
    ]
    lines = [head, ["---"] * len(head), *(cells(row) for row in found)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    record = {"attacks": found, "weights": weights, "versions": versions(), "device": describe_device(place)}
    write_json(out / "energies.json", record)
    write_text(out / "table.md", f"{table}\n\n{' '.join(NOTE.split())} Device: {record['device']}.\n")
    click.echo((out / "table.md").read_text(encoding="utf-8"))


def rank_suite(
    folder: Path, roots: tuple[Path, ...], model: EnergyModel, device: torch.device
) -> Iterator[dict[str, Any]]:
    """What each poisoned set of a suite comes to, in the order of its attacks."""
    suite = read_suite(folder / "suite.toml")
    source = str(suite.sets["train"]).split("[")[0]
    clean = suite.read_set("train", next((root for root in roots if (root / source).exists()), None))
    energies = measure_energies(clean, model, device=device)
    through_jpeg = measure_energies(recompress(clean), model, device=device)
    made = {}
    for path in (folder / "cache" / "sets").glob("*.manifest.json"):
        step = read_manifest(path).steps[-1]
        if step.action == "poison":
            made[step.result] = path.with_name(path.name.removesuffix(".manifest.json"))
    names = {}  # content hash -> attack and case
    for record in read_records(folder):
        case = "-".join(str(value) for value in record.settings.get("case", {}).values())
        names[record.inputs["poisoned"]] = (record.settings["attack"], case)
    order = list(suite.attacks)
    for digest, (attack, case) in sorted(names.items(), key=lambda item: (order.index(item[1][0]), item[1][1])):
        if digest in made:
            poisoned = read(made[digest])
            rows = changed_rows(poisoned, clean)
            after = measure_energies(poisoned, model, device=device)
            compressed = measure_energies(recompress(poisoned.subset(rows)), model, device=device)
            ranks = np.argsort(np.argsort(after)) / len(after)
            yield {
                "attack": f"{attack}-{case}" if case else attack,
                "set": poisoned.content_hash,
                "images": len(poisoned),
                "poisoned": len(rows),
                "risen": float((after[rows] > energies[rows]).mean()),
                "above_clean": chance_above(after[rows], energies),
                "above_clean_jpeg": chance_above(compressed, through_jpeg),
                "upper_half": float((ranks[rows] >= 0.5).mean()),
            }


def recompress(image_set: ImageSet) -> ImageSet:
    run = PurifyRun(purifier_settings("jpeg", overrides={"quality": 90}))
    return purify_in_memory(image_set, run, device="cpu")[0]


def chance_above(energies: np.ndarray, others: np.ndarray) -> float:
    """Chance that one of the energies is higher than one of the others."""
    return float((np.searchsorted(np.sort(others), energies) / len(others)).mean())


def cells(row: dict[str, Any]) -> list[str]:
    half = "-" if row["poisoned"] > row["images"] / 2 else f"{100 * row['upper_half']:.0f}"
    shares = [f"{100 * row[name]:.0f}" for name in ("risen", "above_clean", "above_clean_jpeg")]
    return [row["attack"], f"{row['poisoned']} of {row['images']}", *shares, half]


if __name__ == "__main__":
    main()
