"""Which settings the default method was given: what the proxy foretells each to cost, on clean pictures and poisons.

    unpoison convert 'CIFAR_PARQUET[10000:12500]' sets/clean.npz
    unpoison poison  'CIFAR_PARQUET[10000:12500]' sets/lsp.npz --attack lsp        # and ops, and tap --profile small
    python benchmarks/default_tuning.py sets --held-back 'CIFAR_PARQUET[20000:30000]' --out results/default-tuning

The folder holds the clean pictures, `clean.npz`, and poisoned ones; none of them is scored in any table. A minute for
each line of the table on one core, and two for the classifier, whose pictures must be others. It goes on if stopped.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np
from advice import TRAINING
from proxy import describe, purify

from unpoison.auditing.candidates import Candidate
from unpoison.classify.classifier import Classifier
from unpoison.classify.training import train
from unpoison.core.device import choose_device, describe_device, versions
from unpoison.core.documents import read_json
from unpoison.core.files import write_json, write_text
from unpoison.data import read
from unpoison.scoring.proxy import measure_proxy


def chain(quality: int, sigma: int, field: int = 16) -> Candidate:
    """A candidate for the default: JPEG between `despeckle` and `fast`; noise and field in levels of 255."""
    noise = {"fast.sigma": f"{sigma}/255", "fast.field": f"{field}/255"}
    return Candidate("despeckle+jpeg+fast", settings={"jpeg.quality": quality, **noise})


CANDIDATES: dict[str, Candidate | None] = {
    "none": None,
    "jpeg-10": Candidate("jpeg", settings={"quality": 10}),
    "no jpeg, 25, 16": Candidate("despeckle+fast"),
    "no jpeg, 12, 16": Candidate("despeckle+fast", settings={"fast.sigma": "12/255"}),
    "no jpeg, 40 in two steps, 16": Candidate("despeckle+fast", ("strong",)),
    **{
        f"{quality}, {sigma}, {field}": chain(quality, sigma, field)
        for quality, sigma, field in (
            (10, 25, 16),
            (25, 25, 16),
            (50, 25, 16),
            (25, 18, 16),
            (35, 18, 16),
            (25, 12, 16),
            (30, 12, 16),
            (25, 12, 8),
            (25, 12, 24),
            (25, 8, 16),
        )
    },
}


@click.command()
@click.argument("sets", type=click.Path(path_type=Path, exists=True))
@click.option("--held-back", required=True, help="Clean pictures of the same classes that are in none of the sets.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(sets: Path, held_back: str, out: Path) -> None:
    """Measure every candidate on every set, and compare."""
    clean = read(sets / "clean.npz")
    names = ["clean", *sorted(path.stem for path in sets.glob("*.npz") if path.stem != "clean")]

    @cache
    def classifier() -> Classifier:
        return train(held_back, test_set=clean, seed=0, **TRAINING).net

    cells: dict[str, dict[str, Any]] = {}
    for number, (candidate, method) in enumerate(CANDIDATES.items()):
        purified: np.ndarray | None = None
        for name in names:
            path = out / f"{number:02}-{name}.json"
            if not path.exists():
                click.echo(f"{candidate}: {name}")
                purified = purify(clean, method) if purified is None else purified
                left = purified if name == "clean" else purify(read(sets / f"{name}.npz"), method)
                measured = measure_proxy(clean.array(), purified, left, clean.labels, classifier=classifier())
                about = {"candidate": candidate, "method": str(method), "set": name, "data": clean.content_hash}
                where = {"versions": versions(), "device": describe_device(choose_device())}
                write_json(path, {**about, "cost": measured.cost, **describe(measured), **where})
            cells[f"{number:02}-{name}"] = read_json(path)
    write_text(out / "table.md", describe_table(names, cells))
    click.echo((out / "table.md").read_text(encoding="utf-8"))


def describe_table(names: list[str], cells: dict[str, dict[str, Any]]) -> str:
    """A line for each candidate: cost on every set, and error in the features of clean pictures."""
    rows = [f"| JPEG quality, noise, field | {' | '.join(names)} | feature error |", f"|---|{'---|' * len(names)}---|"]
    for number, candidate in enumerate(CANDIDATES):
        own = [cells[f"{number:02}-{name}"] for name in names]
        costs = " | ".join(f"{cell['cost']:.1f}" for cell in own)
        rows.append(f"| {candidate} | {costs} | {own[0]['feature_error']:.2f} |")
    rows += [
        "",
        "Points of accuracy that the proxy foretells to be lost (results/proxy says how well it foretells), on 2,500 "
        "held-out training pictures. All but `none` and `jpeg-10` begin with `despeckle` and end with `fast`.",
    ]
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
