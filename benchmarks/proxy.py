"""Whether a proxy that needs no training ranks purifiers as trainings do.

    python benchmarks/proxy.py train SETS... --test CLEAN --out results/proxy/trained
    python benchmarks/proxy.py compare results/proxy/trained --sets FOLDER --held-back 'CIFAR_PARQUET[10000:20000]' \\
        --out results/proxy

The first writes the accuracy after training on each set as it is and on what every purification leaves of it, ten
minutes of a core for 2,500 pictures. FOLDER holds the same sets as .npz, the clean one as `cifar.npz`. The second
writes a record for each cell, table.md and scatter.png; ten seconds a cell, and two minutes for the classifier, whose
pictures must not be among those scored. Both go on if stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np
from advice import NONE, TRAINING, measure_sets
from matplotlib.figure import Figure

from unpoison.auditing.candidates import Candidate
from unpoison.classify.classifier import Classifier
from unpoison.classify.training import train
from unpoison.core.device import choose_device, describe_device, versions
from unpoison.core.documents import read_json
from unpoison.core.errors import DataError
from unpoison.core.files import write_json, write_text
from unpoison.core.images import ImageSet
from unpoison.data import read
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.run import PurifyRun
from unpoison.scoring.proxy import FEATURE_COST, SHORTCUT_COST, Proxy, measure_proxy

PURIFICATIONS = (
    Candidate("fast", ("light",)),
    Candidate("fast"),
    Candidate("jpeg", settings={"quality": 25}),
    Candidate("jpeg", settings={"quality": 10}),
    Candidate("fast", ("strong",)),
    Candidate("jpeg+fast", settings={"jpeg.quality": 10}),
)
CELLS: dict[str, Candidate | None] = {NONE: None, **{str(one): one for one in PURIFICATIONS}}
CLEAN = "cifar"
# The proxy was chosen by these; sets beyond them are a check.
CHOSEN_BY = (CLEAN, "cifar em", "cifar lsp", "cifar ops", "cifar tap")
METRICS = ("readability", "shortcut", "pixel_error", "feature_error")
MARKS = dict(zip(CELLS, "osDv<^P", strict=True))
DRAWS = 2000


@click.group()
def main() -> None:
    """Measure the proxy."""


@main.command("train")
@click.argument("sets", nargs=-1, required=True)
@click.option("--test", required=True, help="Clean pictures of the same classes.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Trainings a cell.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def train_all(sets: tuple[str, ...], test: str, seeds: int, out: Path) -> None:
    """Write the accuracies of each set."""
    measure_sets(sets, test, out, PURIFICATIONS, seeds)


@main.command()
@click.argument("records", type=click.Path(path_type=Path, exists=True))
@click.option("--sets", type=click.Path(path_type=Path, exists=True), required=True, help="Folder of the sets.")
@click.option("--held-back", required=True, help="Clean pictures of the same classes that are in none of the sets.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def compare(records: Path, sets: Path, held_back: str, out: Path) -> None:
    """Measure every cell of RECORDS, and compare."""
    trained = [read_json(path) for path in sorted(records.glob("*.json"))]
    clean = read(sets / f"{CLEAN}.npz")

    @cache
    def classifier() -> Classifier:
        return train(held_back, test_set=clean, seed=0, **TRAINING).net

    @cache
    def purified_clean(cell: str) -> np.ndarray:
        return purify(clean, CELLS[cell])

    for record in trained:
        image_set = read(sets / f"{record['name']}.npz")
        if image_set.content_hash != record["data"]:
            raise DataError(f"{record['name']}.npz holds other pictures than were trained on; give the same sets")
        for cell in record["accuracy"]:
            path = cell_path(out, record["name"], cell)
            if path.exists():
                continue
            click.echo(f"{record['name']}, {cell}")
            left = purify(image_set, CELLS[cell])
            measured = measure_proxy(clean.array(), purified_clean(cell), left, clean.labels, classifier=classifier())
            about = {"name": record["name"], "data": record["data"], "candidate": cell, "versions": versions()}
            write_json(path, {**about, **describe(measured), "device": describe_device(choose_device())})
    cells = Cells(trained, out)
    draw(cells, out / "scatter.png")
    write_text(out / "table.md", describe_cells(cells))
    click.echo((out / "table.md").read_text(encoding="utf-8"))


def purify(image_set: ImageSet, candidate: Candidate | None) -> np.ndarray:
    """What is left of a set, [N, H, W, 3] uint8."""
    if candidate is None:
        return image_set.array()
    return purify_in_memory(image_set, PurifyRun(candidate.build()))[0].array()


def describe(measured: Proxy) -> dict[str, Any]:
    """The metrics of a cell as a record keeps them."""
    return {**asdict(measured), "readability": measured.readability.model_dump()}


def cell_path(out: Path, name: str, cell: str) -> Path:
    """The record of a cell."""
    return out / f"{name} {cell}.json".replace(" --", "-").replace(" ", "-")


class Cells:
    """Metrics and accuracies of cells, [n] each, the accuracies in points.

    Args:
        trained: records of the trainings.
        out: folder of the records of the proxy.
    """

    def __init__(self, trained: list[dict[str, Any]], out: Path):
        rows = [(record["name"], cell, values) for record in trained for cell, values in record["accuracy"].items()]
        measured = [read_json(cell_path(out, name, cell)) for name, cell, _ in rows]
        self.names = np.array([name for name, _, _ in rows])
        self.candidates = np.array([cell for _, cell, _ in rows])
        self.seeds = 100 * np.array([values for _, _, values in rows])
        self.values = {metric: np.array([one[metric] for one in measured]) for metric in METRICS[1:]}
        self.values["readability"] = np.array([one["readability"]["value"] for one in measured])
        control = (self.names == CLEAN) & (self.candidates == NONE)
        self.control = float(self.seeds[control].mean())

    @property
    def sets(self) -> list[str]:
        """Names of the sets, in order."""
        return list(dict.fromkeys(self.names))

    @property
    def accuracy(self) -> np.ndarray:
        """Mean over trainings."""
        return self.seeds.mean(axis=1)

    @property
    def causes(self) -> np.ndarray:
        """[n, 2] what the cost is made of."""
        return np.stack([self.values["feature_error"], self.values["shortcut"]], axis=1)

    def only(self, names: Sequence[str]) -> Cells:
        """The cells of some sets."""
        chosen = np.isin(self.names, list(names))
        part = copy(self)
        part.names, part.candidates, part.seeds = self.names[chosen], self.candidates[chosen], self.seeds[chosen]
        part.values = {metric: values[chosen] for metric, values in self.values.items()}
        return part

    def fit(self) -> np.ndarray:
        """[2] points lost for a unit of each cause, by least squares."""
        return np.linalg.lstsq(self.causes, self.control - self.accuracy, rcond=None)[0]

    def foretell(self) -> np.ndarray:
        """[n] accuracy by the constants of the package."""
        return self.control - self.causes @ [FEATURE_COST, SHORTCUT_COST]

    def foretell_left_out(self) -> np.ndarray:
        """[n] accuracy by constants fitted on the other sets."""
        foretold = np.empty(len(self.names))
        for name in self.sets:
            others = [other for other in self.sets if other != name]
            own = self.names == name
            foretold[own] = self.control - self.causes[own] @ self.only(others).fit()
        return foretold


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's; equal values share their mean rank; nan if either does not differ."""
    ranks = [(one[:, None] > one).sum(axis=1) + (one[:, None] == one).sum(axis=1) / 2 for one in (first, second)]
    return float(np.corrcoef(*ranks)[0, 1]) if min(rank.std() for rank in ranks) > 0 else float("nan")


def interval(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """95 % of the rank correlations over draws of the cells."""
    rows = np.random.default_rng(0).integers(len(first), size=(DRAWS, len(first)))
    low, high = np.nanquantile([rank_correlation(first[draw], second[draw]) for draw in rows], [0.025, 0.975])
    return float(low), float(high)


def describe_cells(cells: Cells) -> str:
    """Tables of the rank correlations, and of every cell."""
    chosen = cells.only(CHOSEN_BY)
    text = [*describe_ranks(chosen), ""]
    fitted = " and ".join(f"{value:.1f}" for value in chosen.fit())
    text += [
        f"Rank correlation (Spearman) with accuracy, mean of {cells.seeds.shape[1]} trainings, over all "
        f"{len(chosen.names)} cells with the 95 % interval of {DRAWS:,} draws of them, and over those of each set; an "
        "error or a cost counts as minus itself, so 1 is the same order. Cost: points lost for a unit of feature error "
        f"and of shortcut, {FEATURE_COST} and {SHORTCUT_COST} in the package ({fitted} fitted here); left out: both "
        "fitted on the other sets. One training: accuracy of the first seed with the mean of the others, the most that "
        "can be asked for. What the probe sees was chosen among well over a hundred variants by these very cells, "
        "which no set left out makes up for.",
    ]
    others = [name for name in cells.sets if name not in CHOSEN_BY]
    if others:
        check = cells.only(others)
        text += ["", "## Check: sets by which nothing was chosen", "", *describe_ranks(check)]
    text += ["", "## Cells", "", *describe_grid(cells), ""]
    text += ["Accuracy in %, and in brackets what the package foretells. Below the best: what choosing by it costs."]
    return "\n".join(text) + "\n"


def describe_ranks(cells: Cells) -> list[str]:
    """A row for each metric, a column for each set."""
    foretellers = {
        "readability of the difference": -cells.values["readability"],
        "shortcut": -cells.values["shortcut"],
        "error in pixels": -cells.values["pixel_error"],
        "error in features": -cells.values["feature_error"],
        "cost": cells.foretell(),
        "cost, each set left out": cells.foretell_left_out(),
    }
    rows = [f"| | all | {' | '.join(cells.sets)} | points off |", f"|---|{'---|' * (len(cells.sets) + 2)}"]
    for name, foretold in foretellers.items():
        off = f"{np.abs(foretold - cells.accuracy).mean():.1f}" if "cost" in name else "-"
        rows.append(describe_row(name, foretold, cells.accuracy, cells.names, off))
    rest = cells.seeds[:, 1:].mean(axis=1)
    off = f"{np.abs(cells.seeds[:, 0] - rest).mean():.1f}"
    return [*rows, describe_row("one training", cells.seeds[:, 0], rest, cells.names, off)]


def describe_row(name: str, foretold: np.ndarray, accuracy: np.ndarray, sets: np.ndarray, off: str) -> str:
    """Rank correlations over all cells and within each set."""
    low, high = interval(foretold, accuracy)
    within = [rank_correlation(foretold[sets == one], accuracy[sets == one]) for one in dict.fromkeys(sets)]
    shown = " | ".join("-" if np.isnan(value) else f"{value:.2f}" for value in within)
    return f"| {name} | {rank_correlation(foretold, accuracy):.3f} ({low:.2f} to {high:.2f}) | {shown} | {off} |"


def describe_grid(cells: Cells) -> list[str]:
    """Accuracy and what was foretold, a row for each set."""
    foretold = cells.foretell()
    rows = [f"| set | {' | '.join(CELLS)} | below the best |", f"|---|{'---|' * (len(CELLS) + 1)}"]
    for name in cells.sets:
        own = np.flatnonzero(cells.names == name)
        shown = " | ".join(f"{cells.accuracy[row]:.1f} ({foretold[row]:.1f})" for row in own)
        below = cells.accuracy[own].max() - cells.accuracy[own][foretold[own].argmax()]
        rows.append(f"| {name} | {shown} | {below:.1f} |")
    return rows


def draw(cells: Cells, path: Path) -> None:
    """Accuracy over what was foretold, a colour for each set and a mark for each candidate."""
    figure = Figure(figsize=(7.5, 6), layout="constrained")
    axes = figure.subplots()
    foretold = cells.foretell()
    for number, name in enumerate(cells.sets):
        for candidate, mark in MARKS.items():
            own = (cells.names == name) & (cells.candidates == candidate)
            axes.plot(foretold[own], cells.accuracy[own], mark, color=f"C{number}", markersize=7, alpha=0.85)
        axes.plot([], [], "o", color=f"C{number}", label=name)
    for candidate, mark in MARKS.items():
        axes.plot([], [], mark, color="#777777", label=candidate)
    ends = [min(foretold.min(), cells.accuracy.min()) - 2, cells.control + 2]
    axes.plot(ends, ends, color="#bbbbbb", linewidth=1, zorder=0)
    axes.set(xlabel="accuracy foretold, %", ylabel="accuracy after training, %")
    axes.legend(fontsize=8, loc="upper left")
    axes.grid(alpha=0.25)
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main()
