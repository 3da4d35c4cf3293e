"""Leave one family out: does a denoiser taught on perturbations remove those of a kind that it never saw?

    python benchmarks/taught.py PICTURES --sets FOLDER --held-back 'CIFAR_PARQUET[10000:20000]' --out results/taught

PICTURES are fitted on (Tiny-ImageNet); FOLDER holds poisoned sets as .npz, the clean one as `cifar.npz`. Each family is
left out of one short fit; that and one fit with all families are judged by the proxy on poisons of that family, beside
`pocket`, from which all fits go on. Some six minutes of a core a fit, ten seconds a cell; it goes on if stopped.
Writes a record for each cell and table.md.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np
from advice import TRAINING
from proxy import CLEAN, describe

from unpoison.classify.classifier import Classifier
from unpoison.classify.training import train
from unpoison.core.device import choose_device, describe_device, versions
from unpoison.core.documents import read_json
from unpoison.core.files import write_json, write_text
from unpoison.core.images import ImageSet
from unpoison.core.manifest import Step, manifest_path, read_manifest
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

UNTAUGHT, ALL, LEFT_OUT = COLUMNS = "untaught", "all", "left out"
# The family that a poison belongs to; of poisons by gradients, those that are crafted in minutes.
FAMILIES = {
    "lsp": "grids",
    "urp": "grids",
    "ar": "textures",
    "ops": "pixels",
    "cuda": "kernels",
    "em": "gradients",
    "hypo": "gradients",
    "pil": "gradients",
    "tap": "gradients",
}
JUDGE: dict[str, Any] = {**TRAINING, "seed": 0, "precision": "fp32"}  # the classifier whose features are compared
TUNED_BY = ("lsp", "ar", "em")
SHORT: dict[str, Any] = {"iterations": 600, "victims": 8, "checkpoint_every": 200, "plots": False}


@dataclass(frozen=True)
class Noise:
    """What `fast` adds, white noise and smooth field, in levels of 255."""

    sigma: int
    field: int

    def __str__(self) -> str:
        return f"{self.sigma}-{self.field}"


NOISES = (Noise(8, 8),)  # a third of what the profile normal adds: what a taught net is for


@click.command()
@click.argument("pictures")
@click.option("--sets", type=click.Path(path_type=Path, exists=True), required=True, help="Folder of the sets.")
@click.option("--held-back", required=True, help="Clean pictures of the same classes that are in none of the sets.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(pictures: str, sets: Path, held_back: str, out: Path) -> None:
    """Fit, measure, and compare."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    clean, others = read(sets / f"{CLEAN}.npz"), read(held_back)

    @cache
    def classifier() -> Classifier:
        return train(others, test_set=clean, **JUDGE).net

    for fitted in (UNTAUGHT, ALL, *dict.fromkeys(FAMILIES.values())):
        names = [name for name, family in FAMILIES.items() if fitted in (UNTAUGHT, ALL, family)]
        for noise in NOISES:
            missing = [name for name in (CLEAN, *names) if not cell_path(out, fitted, name, noise).exists()]
            if not missing:
                continue
            weights = weights_path("pocket") if fitted == UNTAUGHT else fit_without(pictures, fitted, out)
            purified, _ = purify(clean, weights, noise)
            for name in missing:
                log.info("%s, %s, %s", fitted, name, noise)
                path = sets / (f"{CLEAN}.npz" if name == CLEAN else f"{CLEAN} {name}.npz")
                poisoned = read(path)
                left, step = purify(poisoned, weights, noise)
                found = measure(clean, purified, poisoned, left, classifier())
                steps = [*(() if name == CLEAN else read_manifest(manifest_path(path)).steps), step]
                about = {"fit": fitted, "name": name, "noise": str(noise), "clean": clean.content_hash}
                how = {
                    "steps": [one.model_dump(mode="json") for one in steps],
                    "classifier": {**JUDGE, "data": others.content_hash},
                }
                where = {"versions": versions(), "device": describe_device(choose_device())}
                write_json(cell_path(out, fitted, name, noise), {**about, **found, **how, **where})
    write_text(out / "table.md", describe_table(out))
    click.echo((out / "table.md").read_text(encoding="utf-8"))


def fit_without(pictures: str, family: str, out: Path) -> Path:
    """Weights of a short fit without one family, or with all of them; its record goes beside those of the cells."""
    path = out / "cache" / f"{family}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = build_settings(DenoiserSettings, profiles=["pocket-taught"], room="unpoison.fitting", overrides=SHORT)
        families = tuple(one for one in whole.families if one != family)
        log.info("fitting with %s", ", ".join(dict.fromkeys(families)))
        fit(pictures, "denoiser", out=path, settings=whole.model_copy(update={"families": families}), device="cpu")
    shutil.copyfile(path.with_suffix(".fit.json"), out / f"{family}.fit.json")
    return path


def purify(image_set: ImageSet, weights: Path, noise: Noise) -> tuple[np.ndarray, Step]:
    """What is left of a set, [N, H, W, 3] uint8, and how it was made."""
    given = {"model": str(weights), "sigma": f"{noise.sigma}/255", "field": f"{noise.field}/255"}
    settings = purifier_settings("fast", overrides={**given, "precision": "fp32"})
    left, step = purify_in_memory(image_set, PurifyRun(settings))
    return left.array(), step


def measure(
    clean: ImageSet, purified: np.ndarray, poisoned: ImageSet, left: np.ndarray, classifier: Classifier
) -> dict[str, Any]:
    """The proxy, and how much of a perturbation is still there: its share along itself."""
    measured = measure_proxy(clean.array(), purified, left, clean.labels, classifier=classifier)
    perturbation = poisoned.array().astype(np.float32) - clean.array()
    still = left.astype(np.float32) - purified
    size = float((perturbation**2).sum())
    share = float((still * perturbation).sum()) / size if size else 0.0
    return {"left": share, "cost": measured.cost, **describe(measured)}


def cell_path(out: Path, fitted: str, name: str, noise: Noise) -> Path:
    """The record of a cell."""
    return out / f"{fitted}-{name}-{noise}.json"


def describe_table(out: Path) -> str:
    """A part for each noise: share left, and cost."""
    text = []
    for noise in NOISES:
        cells = {
            (column, name): read_json(cell_path(out, family if column == LEFT_OUT else column, name, noise))
            for name, family in FAMILIES.items()
            for column in COLUMNS
        }
        text += [f"## White noise of {noise.sigma}/255, field of {noise.field}/255", ""]
        text += [f"| set | family | {' | '.join(f'left: {column}' for column in COLUMNS)} | "]
        text[-1] += f"{' | '.join(f'cost: {column}' for column in COLUMNS)} |"
        text.append(f"|---|---|{'---|' * (2 * len(COLUMNS))}")
        for name, family in FAMILIES.items():
            shown = [f"{cells[column, name]['left']:.2f}" for column in COLUMNS]
            shown += [f"{cells[column, name]['cost']:.1f}" for column in COLUMNS]
            text.append(f"| {name} | {family} | {' | '.join(shown)} |")
        means = [f"{np.mean([cells[column, name]['left'] for name in FAMILIES]):.2f}" for column in COLUMNS]
        means += [f"{np.mean([cells[column, name]['cost'] for name in FAMILIES]):.1f}" for column in COLUMNS]
        text += [f"| mean | | {' | '.join(means)} |"]
        owns = [read_json(cell_path(out, fitted, CLEAN, noise))["cost"] for fitted in (UNTAUGHT, ALL)]
        text += [f"| clean | | | | | {' | '.join(f'{own:.1f}' for own in owns)} | |", ""]
    text += [
        "left: share of the perturbation that is still there, along itself; 1 is all of it. cost: points of accuracy "
        "that the proxy foretells to be lost against training on the clean pictures as they are "
        f"({FEATURE_COST} times the error in features, {SHORTCUT_COST} times the shortcut; results/proxy), with a "
        "chance error of about a point a cell. For both, less is better. left out: a fit that never saw the family of "
        f"the row. Settings were chosen by {', '.join(TUNED_BY)} and clean pictures. The fits are short, "
        f"{SHORT['iterations']} steps: they show which way it goes, not how far.",
    ]
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    main()
