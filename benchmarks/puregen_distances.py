"""How far PureGen's purifiers take poisoned pictures from the poison, and what happens to their energies.

    unpoison poison CIFAR_TRAIN_PARQUET[:5000] em.npz --attack em --profile small
    python benchmarks/puregen_distances.py CIFAR_TRAIN_PARQUET[:5000] em.npz --count 128 \
        --out results/puregen-distances --figure docs/puregen-distances.png

With the models that come with unpoison. The figure is the one of the paper: distances of the purified poison to the
clean and to the poisoned picture, over Langevin steps and over T.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from matplotlib.figure import Figure

from unpoison.core.device import choose_device, describe_device, versions
from unpoison.core.files import write_json, write_text
from unpoison.core.images import ImageSet
from unpoison.core.progress import progress_bar
from unpoison.data import read
from unpoison.purifiers.energies import measure_energies
from unpoison.purifiers.settings import purifier_settings
from unpoison.purifiers.weights import load_energy
from unpoison.reporting.distances import describe_crossing, distance_table
from unpoison.reporting.energies import SetEnergies, energy_facts, energy_table
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.run import PurifyRun
from unpoison.studies.distances import Station, crossing, measure_distances, pair_up

FOLLOWED = {"puregen-ebm": ("steps", 500), "puregen-ddpm": ("t", 75)}
JUDGED = ("puregen-ebm", "puregen-ddpm", "puregen-naive", "fast")
AXES = {"steps": "Langevin steps", "t": "T"}


@click.command()
@click.argument("clean")
@click.argument("poisoned")
@click.option("--count", default=256, show_default=True, help="Pictures, over all classes.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for distances.json and table.md.")
@click.option("--figure", type=click.Path(path_type=Path), required=True, help="PNG to draw.")
@click.option("--device", default="auto", show_default=True)
def main(clean: str, poisoned: str, count: int, out: Path, figure: Path, device: str) -> None:
    """Follow pictures of the set POISONED, made from CLEAN, through their purification."""
    before, after = pair_up(read(clean), read(poisoned), count=count)
    walks = {method: follow(before, after, method, field, last, device) for method, (field, last) in FOLLOWED.items()}
    energies = judge(before, after, device)
    record = {
        "sets": {
            name: {"name": one.name, "hash": one.content_hash} for name, one in (("clean", before), ("poisoned", after))
        },
        "images": len(before),
        "walks": {
            method: {
                "settings": run_of(method, *FOLLOWED[method]).describe(),
                "stations": [asdict(station) for station in stations],
                "crossing": found.strength if (found := crossing(stations)) else None,
            }
            for method, stations in walks.items()
        },
        "energies": [
            {name: value for name, value in one.items() if name != "per_class"} for one in energy_facts(energies)
        ],
        "versions": versions(),
        "device": describe_device(choose_device(device)),
    }
    write_json(out / "distances.json", record)
    write_text(out / "table.md", describe(walks, energies, record))
    draw(walks, figure)
    click.echo((out / "table.md").read_text(encoding="utf-8"))


def run_of(method: str, field: str, last: int) -> PurifyRun:
    return PurifyRun(purifier_settings(method, overrides={field: last}))


def follow(clean: ImageSet, poisoned: ImageSet, method: str, field: str, last: int, device: str) -> list[Station]:
    with progress_bar(f"follow {method}", unit="station") as on_step:
        return measure_distances(clean, poisoned, run_of(method, field, last), device=device, on_step=on_step)


def judge(clean: ImageSet, poisoned: ImageSet, device: str) -> list[SetEnergies]:
    """Energies of both sets, and of what each purifier makes of them, by the energy model in the package."""
    place = choose_device(device)
    model, _ = load_energy("ebm-small", method="energies", precision="fp32", device=place)

    def measure(name: str, image_set: ImageSet) -> SetEnergies:
        values = measure_energies(image_set, model, device=place)
        return SetEnergies(name, values, image_set.labels, image_set.class_names)

    measured = [measure("clean", clean), measure("poisoned", poisoned)]
    for method in JUDGED:
        for name, source in (("clean", clean), ("poisoned", poisoned)):
            purified, _ = purify_in_memory(source, PurifyRun(purifier_settings(method)), device=device)
            measured.append(measure(f"{name}, {method}", purified))
    return measured


def describe(walks: dict[str, list[Station]], energies: list[SetEnergies], record: dict[str, Any]) -> str:
    parts = []
    for method, stations in walks.items():
        field = FOLLOWED[method][0]
        parts += [f"`{method}`", distance_table(stations, field=field), describe_crossing(stations, field=field)]
    table = energy_table(energies).splitlines()
    whole = [
        line for line in table if not line.startswith("|") or line.split("|")[2].strip() in ("class", "all", "---")
    ]
    parts += [
        "Energies by `ebm-small`; lower is more natural to it",
        "\n".join(whole),
        f"{record['images']} pictures of the poisoned set, spread over the classes, with the models that come with "
        "unpoison. Distances are Euclidean norms over all values of a picture, in [0, 1] units, and means over the "
        f"pictures; the settings of the purifiers are their defaults. Device: {record['device']}.",
    ]
    return "\n\n".join(parts) + "\n"


def draw(walks: dict[str, list[Station]], path: Path) -> None:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, (method, stations) in zip(figure.subplots(1, len(walks)), walks.items(), strict=True):
        strengths = [station.strength for station in stations]
        axes.plot(
            strengths, [station.to_clean for station in stations], color="#2b7a4b", label="purified poison to clean"
        )
        axes.plot(
            strengths, [station.to_poisoned for station in stations], color="#b3372f", label="purified poison to poison"
        )
        found = crossing(stations)
        if found:
            axes.axvline(found.strength, color="#5d6b7e", linestyle=":", label=f"nearer to clean from {found.strength}")
        axes.set(title=method, xlabel=AXES[FOLLOWED[method][0]], ylabel="mean distance")
        axes.title.set_fontsize(9)
        axes.legend(fontsize=8)
        axes.grid(alpha=0.25)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
