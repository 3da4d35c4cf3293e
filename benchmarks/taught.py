"""Leave one family out: does a denoiser taught on perturbations remove those of a kind that it never saw?

    python benchmarks/taught.py PICTURES --sets FOLDER --held-back 'CIFAR_PARQUET[10000:20000]' --out results/taught

PICTURES are fitted on (Tiny-ImageNet); FOLDER holds poisoned sets as .npz, the clean one as `cifar.npz`. Each family is
left out of one short fit; that and one fit with all families are judged by the proxy on poisons of that family, beside
`pocket`, from which all fits go on. Some six minutes of a core a fit, ten seconds a cell; it goes on if stopped.
Writes a record for each cell and table.md.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np
from proxy import CLEAN, TRAINING, describe

from unpoison.classify.classifier import Classifier
from unpoison.classify.training import train
from unpoison.core.device import choose_device, describe_device, versions
from unpoison.core.documents import read_json
from unpoison.core.files import write_json, write_text
from unpoison.core.hashing import hash_file
from unpoison.core.images import ImageSet
from unpoison.core.settings import build_settings
from unpoison.data import read
from unpoison.fitting.diffusion import fit
from unpoison.fitting.settings import DenoiserSettings
from unpoison.nets.shipped import weights_path
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.run import PurifyRun
from unpoison.scoring.proxy import FEATURE_COST, SHORTCUT_COST, measure_proxy

log = logging.getLogger(__name__)

UNTAUGHT, ALL = "untaught", "all"
# The family that a poison belongs to.
FAMILIES = {
    "lsp": "grids",
    "urp": "grids",
    "ar": "textures",
    "ops": "pixels",
    "cuda": "kernels",
    "em": "gradients",
    "hypo": "gradients",
    "pil": "gradients",
    "sep": "gradients",
    "tap": "gradients",
    "dune": "gradients",
}
TUNED_BY = ("lsp", "ar", "em")
SHORT: dict[str, Any] = {"iterations": 800, "batch_size": 64, "checkpoint_every": 200, "plots": False}


@dataclass(frozen=True)
class Noise:
    """What `fast` adds, in levels of 255, and how many steps it takes it off in."""

    sigma: int
    field: int
    steps: int = 1

    def __str__(self) -> str:
        return f"{self.sigma}-{self.field}" + (f"-in-{self.steps}" if self.steps > 1 else "")


LITTLE = (Noise(4, 0), Noise(8, 0), Noise(8, 8), Noise(12, 16))
MUCH = (Noise(12, 32), Noise(25, 16), Noise(40, 16, 2))  # the profiles light, normal and strong


@click.command()
@click.argument("pictures")
@click.option("--sets", type=click.Path(path_type=Path, exists=True), required=True, help="Folder of the sets.")
@click.option("--held-back", required=True, help="Clean pictures of the same classes that are in none of the sets.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(pictures: str, sets: Path, held_back: str, out: Path) -> None:
    """Fit, measure, and compare."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    clean = read(sets / f"{CLEAN}.npz")

    @cache
    def classifier() -> Classifier:
        return train(held_back, test_set=clean, seed=0, test_every=TRAINING["epochs"], **TRAINING).net

    for fitted in (UNTAUGHT, ALL, *dict.fromkeys(FAMILIES.values())):
        names = [name for name, family in FAMILIES.items() if fitted in (UNTAUGHT, ALL, family)]
        noises = (*LITTLE, *MUCH) if fitted in (UNTAUGHT, ALL) else LITTLE
        wanted = [(name, noise) for name in (CLEAN, *names) for noise in noises]
        if all(cell_path(out, fitted, name, noise).exists() for name, noise in wanted):
            continue
        weights = weights_path("pocket") if fitted == UNTAUGHT else fit_without(pictures, fitted, out / "cache")
        for noise in noises:
            left = {CLEAN: purify(clean, weights, noise)}
            for name in (CLEAN, *names):
                path = cell_path(out, fitted, name, noise)
                if path.exists():
                    continue
                log.info("%s, %s, %s", fitted, name, noise)
                if name != CLEAN:
                    left[name] = purify(read(sets / f"{CLEAN} {name}.npz"), weights, noise)
                measured = measure_proxy(clean.array(), left[CLEAN], left[name], clean.labels, classifier=classifier())
                about = {"fit": fitted, "name": name, "noise": str(noise), "weights": hash_file(weights)}
                where = {"versions": versions(), "device": describe_device(choose_device())}
                write_json(path, {**about, "cost": measured.cost, **describe(measured), **where})
    write_text(out / "table.md", describe_table(out))
    click.echo((out / "table.md").read_text(encoding="utf-8"))


def fit_without(pictures: str, family: str, folder: Path) -> Path:
    """Weights of a short fit without one family, or with all of them."""
    path = folder / f"{family}.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        whole = build_settings(DenoiserSettings, profiles=["pocket-taught"], room="unpoison.fitting", overrides=SHORT)
        families = tuple(one for one in whole.families if one != family)
        log.info("fitting with %s", ", ".join(dict.fromkeys(families)))
        fit(pictures, "denoiser", out=path, settings=whole.model_copy(update={"families": families}), device="cpu")
    return path


def purify(image_set: ImageSet, weights: Path, noise: Noise) -> np.ndarray:
    """What is left of a set, [N, H, W, 3] uint8."""
    given = {"model": str(weights), "sigma": f"{noise.sigma}/255", "field": f"{noise.field}/255", "steps": noise.steps}
    settings = purifier_settings("fast", overrides={**given, "precision": "bf16"})
    return purify_in_memory(image_set, PurifyRun(settings))[0].array()


def cell_path(out: Path, fitted: str, name: str, noise: Noise) -> Path:
    """The record of a cell."""
    return out / f"{fitted}-{name}-{noise}.json"


def read_cost(out: Path, fitted: str, name: str, noise: Noise) -> float:
    """Points of accuracy foretold to be lost."""
    return float(read_json(cell_path(out, fitted, name, noise))["cost"])


def describe_table(out: Path) -> str:
    """The table, best noise of each row and column, and that of one noise for all."""
    columns = (UNTAUGHT, ALL, "left out")
    rows = []
    for name, family in {CLEAN: "", **FAMILIES}.items():
        cells = []
        for column in columns:
            fitted = family if column == "left out" else column
            noises = (*LITTLE, *MUCH) if column == UNTAUGHT else LITTLE
            costs = {noise: read_cost(out, fitted, name, noise) for noise in noises} if fitted else {}
            best = min(costs, key=costs.__getitem__) if costs else None
            cells.append("-" if best is None else f"{costs[best]:.1f} ({best})")
        rows.append(f"| {name} | {family or '-'} | {' | '.join(cells)} |")
    text = [f"| set | family | {' | '.join(columns)} |", f"|---|---|{'---|' * len(columns)}", *rows, ""]
    text += ["## At one noise for all", "", f"| fit | noise | {' | '.join((CLEAN, *FAMILIES))} | mean | worst |"]
    text.append(f"|---|---|{'---|' * (len(FAMILIES) + 3)}")
    for fitted, noises in ((UNTAUGHT, (*LITTLE, *MUCH)), (ALL, (*LITTLE, *MUCH)), ("left out", LITTLE)):
        for noise in noises:
            of = {name: family if fitted == "left out" else fitted for name, family in FAMILIES.items()}
            costs = [read_cost(out, of[name], name, noise) for name in FAMILIES]
            own = "-" if fitted == "left out" else f"{read_cost(out, fitted, CLEAN, noise):.1f}"
            shown = " | ".join(f"{cost:.1f}" for cost in costs)
            text.append(f"| {fitted} | {noise} | {own} | {shown} | {np.mean(costs):.1f} | {max(costs):.1f} |")
    text += [
        "",
        "Points of accuracy that the proxy foretells to be lost against training on the clean pictures as they are "
        f"({FEATURE_COST} times the error in features, {SHORTCUT_COST} times the shortcut; results/proxy); less is "
        "better. Above: at the noise that is best for the row, in brackets white noise and smooth field in levels of "
        "255, and steps if more than one. left out: a fit that never saw the family of the row. Settings were chosen "
        f"by {', '.join(TUNED_BY)} and clean pictures; the fits are short ({SHORT['iterations']} steps of "
        f"{SHORT['batch_size']} patches), one for each column and family.",
    ]
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    main()
