"""What an audit leaves to those who know it: LSP and TAP weakened until it is silent.

    python benchmarks/audit_attackers.py CIFAR runs/audit --out results/audit    # half an hour of a core; minutes again

RUNS/audit holds the poisons that `audit.py poison` made: 2,500 pictures of CIFAR-10 (JPEG). They are weakened by
taking less of the perturbation, or only its coarse part. Harm is what a small classifier (hlb-s of width 16, 12
epochs) that was trained on a set loses on 2,000 held-out training pictures: three seeds, the same for every set.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from unpoison.auditing.audit import Audit, audit_set
from unpoison.classify.training import train
from unpoison.core.device import describe_device, versions
from unpoison.core.documents import read_json
from unpoison.core.files import write_json, write_text
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.data import read
from unpoison.scoring.accuracy import score

SEEDS = (0, 1, 2)
RECIPE = {"model": "hlb-s", "width": 16, "epochs": 12, "test_every": 12}
WEAKENED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as published": lambda perturbation: perturbation,
    "half": lambda perturbation: 0.5 * perturbation,
    "a quarter": lambda perturbation: 0.25 * perturbation,
    "an eighth": lambda perturbation: 0.125 * perturbation,
    "coarse part": lambda perturbation: _coarse(perturbation, 1.0),
}


@click.command()
@click.argument("cifar", type=click.Path(exists=True))
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(cifar: str, folder: Path, out: Path) -> None:
    """Weaken two poisons until nothing is found, and train on them."""
    torch.set_num_threads(1)
    clean, test = read(f"{cifar}[:2500]"), read(f"{cifar}[45000:47000]")
    _measured(out / "attackers" / "clean.json", clean, test, {"attack": "none", "weakened": ""})
    for attack in ("lsp", "tap"):
        perturbation = read(folder / f"cifar {attack}.npz").array().astype(np.float32) - clean.array()
        for name, weaken in WEAKENED.items():
            images = (clean.array() + weaken(perturbation)).round().clip(0, 255).astype(np.uint8)
            record = out / "attackers" / f"{attack}-{name.replace(' ', '-')}.json"
            _measured(record, _with(clean, images), test, {"attack": attack, "weakened": name})
    records = [read_json(path) for path in sorted((out / "attackers").glob("*.json"))]
    _write_attackers(records, out / "attackers.md")


def _measured(path: Path, shown: ImageSet, test: ImageSet, about: dict[str, Any]) -> None:
    """The verdict on a set, always anew, and what is learned from it, where no record says that."""
    click.echo(path.stem)
    known = read_json(path) if path.exists() else {}
    accuracies = known["accuracies"] if known.get("data") == shown.content_hash else _accuracies(shown, test)
    write_json(path, {**about, **_verdict(audit_set(shown)), "accuracies": accuracies, **_how(shown)})


def _verdict(audit: Audit) -> dict[str, Any]:
    first = audit.verdict.findings[0]
    return {"answer": audit.verdict.answer, "surprise": first.surprise, "sign": first.sign}


def _how(shown: ImageSet) -> dict[str, Any]:
    return {
        "data": shown.content_hash,
        "recipe": RECIPE,
        "seeds": SEEDS,
        "versions": versions(),
        "device": describe_device(torch.device("cpu")),
    }


def _accuracies(shown: ImageSet, test: ImageSet) -> list[float]:
    return [score(train(shown, test_set=test, seed=seed, **RECIPE), test).accuracy.value for seed in SEEDS]


def _write_attackers(records: list[dict[str, Any]], target: Path) -> None:
    lines = ["| attack | weakened | audit | surprise | accuracy | harm |", "| --- | --- | --- | --- | --- | --- |"]
    undisturbed = next(record["accuracies"] for record in records if record["attack"] == "none")
    order = ["", *WEAKENED]
    for record in sorted(records, key=lambda record: (record["attack"], order.index(record["weakened"]))):
        lost = np.subtract(undisturbed, record["accuracies"])
        lines.append(
            f"| {record['attack']} | {record['weakened']} | {record['answer']} | {record['surprise']:.1f} | "
            f"{_show(record['accuracies'])} | {_show(lost) if record['attack'] != 'none' else ''} |"
        )
    note = (
        "2,500 pictures of CIFAR-10 (JPEG), profile `small`; accuracy in percent on 2,000 held-out training pictures, "
        f"mean of {len(SEEDS)} seeds and their standard deviation; harm is the paired loss against the clean set. "
        f"{records[0]['device']}."
    )
    text = "\n".join([*lines, "", note, ""])
    write_text(target, text)
    click.echo(text)


def _show(shares: Any) -> str:
    return f"{100 * np.mean(shares):.1f} ± {100 * np.std(shares, ddof=1):.1f}"


def _coarse(perturbation: np.ndarray, sigma: float) -> np.ndarray:
    """What a Gaussian of some pixels leaves, as strong as before."""
    rows, columns = (np.fft.fftfreq(side) for side in perturbation.shape[1:3])
    kept = np.exp(-2 * (np.pi * sigma) ** 2 * (rows[:, None] ** 2 + columns[None] ** 2))[None, :, :, None]
    smooth = np.fft.ifft2(np.fft.fft2(perturbation, axes=(1, 2)) * kept, axes=(1, 2)).real
    return smooth * np.abs(perturbation).max() / max(np.quantile(np.abs(smooth), 0.999), 1e-6)


def _with(image_set: ImageSet, images: np.ndarray) -> ArrayImageSet:
    return ArrayImageSet(images, image_set.labels, class_names=image_set.class_names, ids=image_set.ids)


if __name__ == "__main__":
    main()
