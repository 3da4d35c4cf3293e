"""What the cheap probes say of the poisons of a suite, from the poisoned sets that `bench` left in its cache.

    python benchmarks/probes.py results/poisons --root FOLDER_OF_THE_PARQUET_FILES --out results/poisons-probes

Norms after 8-bit storage, how well a linear classifier names the class from the perturbation alone, and how well the
filters of `ar` do where the poison is `ar`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from unpoison.bench.suite import read_suite
from unpoison.core.device import versions
from unpoison.core.files import write_json, write_text
from unpoison.core.manifest import Step, read_manifest
from unpoison.core.records import read_records
from unpoison.data import read
from unpoison.scoring.probes import linear_separability, perfect_ar_accuracy


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--root", type=click.Path(path_type=Path), help="Folder that the suite's paths are relative to.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for probes.json and table.md.")
def main(folder: Path, root: Path | None, out: Path) -> None:
    """Probe every poisoned set of the suite in FOLDER."""
    suite = read_suite(folder / "suite.toml")
    clean = suite.read_set("train", root)
    pictures = clean.array()
    made = {}
    for path in (folder / "cache" / "sets").glob("*.manifest.json"):
        step = read_manifest(path).steps[-1]
        if step.action == "poison":
            made[step.result] = (step, path.with_name(path.name.removesuffix(".manifest.json")))
    found: dict[str, dict[str, Any]] = {}
    for record in read_records(folder):
        if record.inputs["poisoned"] in made:
            step, path = made[record.inputs["poisoned"]]
            found[record.settings["attack"]] = probe(pictures, read(path).array(), clean.labels, step)
    rows = [row(name, found[name]) for name in suite.attacks if name in found]
    columns = ["attack", "profile", "largest change", "L2, mean", "pixels changed", "linear probe", "AR filters"]
    head = f"| {' | '.join(columns)} |"
    note = (
        "Perturbations of the training images as they were stored; largest change in levels of 255. Linear probe: "
        "share in % of the perturbations of one half of the images whose class is named by a ridge regression on those "
        "of the other half, which sees no image. AR filters: share that the poison's own filters name. 95 % Wilson "
        "intervals; chance is 10."
    )
    write_json(out / "probes.json", {"suite": suite.name, "attacks": found, "versions": versions()})
    write_text(out / "table.md", "\n".join([head, "|---|---|---|---|---|---|---|", *rows]) + f"\n\n{note}\n")
    click.echo((out / "table.md").read_text(encoding="utf-8"))


def probe(clean: np.ndarray, poisoned: np.ndarray, labels: np.ndarray, step: Step) -> dict[str, Any]:
    """Norms and probes of one set."""
    facts = step.facts
    measured = {name: facts[name] for name in ("profile", "changed", "linf_255", "l2_mean", "l0_mean")}
    measured["linear"] = linear_separability(clean, poisoned, labels).model_dump()
    if "coefficients" in facts:
        tables = np.array(facts["coefficients"])
        measured["ar_filters"] = perfect_ar_accuracy(clean, poisoned, labels, tables).model_dump()
    return measured


def row(name: str, measured: dict[str, Any]) -> str:
    """A line of the table."""
    shown = [share(measured.get(which)) for which in ("linear", "ar_filters")]
    return (
        f"| {name} | {measured['profile']} | {measured['linf_255']} | {measured['l2_mean']:.2f} | "
        f"{measured['l0_mean']:.0f} | {' | '.join(shown)} |"
    )


def share(metric: dict[str, float] | None) -> str:
    """A share in % with its interval."""
    if metric is None:
        return "-"
    return f"{100 * metric['value']:.1f} ({100 * metric['low']:.1f} to {100 * metric['high']:.1f})"


if __name__ == "__main__":
    main()
