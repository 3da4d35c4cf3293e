"""What an audit leaves to those who know it, and what its advice costs.

    python benchmarks/audit_harm.py attackers CIFAR runs/audit --out results/audit
    python benchmarks/audit_harm.py advice CIFAR runs/audit --out results/audit

RUNS/audit holds the poisons that `audit.py poison` made: 2,500 pictures of CIFAR-10 (JPEG). Harm is what a small
classifier (hlb-s of width 16, 12 epochs) trained on a set loses on 2,000 held-out training pictures: three seeds, the same for
every set.

The first weakens LSP and TAP, by less of the perturbation or by only its coarse part, until the audit is silent. The
second purifies sets as `--method auto` does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from unpoison.auditing.advice import advise
from unpoison.auditing.audit import Audit, audit_set
from unpoison.auditing.candidates import NORMAL, Candidate
from unpoison.classify.training import train
from unpoison.core.device import describe_device, versions
from unpoison.core.documents import read_json
from unpoison.core.files import write_json, write_text
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.data import read
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.run import PurifyRun
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
POISONS = ("", "lsp", "em", "tap", "ops", "rem", "narcissus")


@click.group()
def main() -> None:
    """Train on what was audited."""


@main.command()
@click.argument("cifar", type=click.Path(exists=True))
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), required=True)
def attackers(cifar: str, folder: Path, out: Path) -> None:
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
    """The verdict on a set, and what is learned from it."""
    if path.exists():
        return
    click.echo(path.stem)
    audit = audit_set(shown)
    write_json(path, {**about, **_verdict(audit), "accuracies": _accuracies(shown, test), **_how(shown)})


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


@main.command()
@click.argument("cifar", type=click.Path(exists=True))
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), required=True)
def advice(cifar: str, folder: Path, out: Path) -> None:
    """Purify sets as they are advised to be, and by default, and train on them."""
    torch.set_num_threads(1)
    clean, test = read(f"{cifar}[:2500]"), read(f"{cifar}[45000:47000]")
    trusted = read(f"{cifar}[47000:47500]")
    for attack in POISONS:
        path = out / "advice" / f"{attack or 'clean'}.json"
        if path.exists():
            continue
        click.echo(path.stem)
        shown = _with(clean, read(folder / f"cifar {attack}.npz").array()) if attack else clean
        audit = audit_set(shown)
        chosen = {"fast": NORMAL}
        for name, reference in (("auto", None), ("auto, reference", trusted)):
            found = audit if reference is None else audit_set(shown, reference=reference)
            given = advise(found, reference=reference)
            chosen[name] = Candidate(given.method, given.profiles, given.settings)
        learned: dict[str, list[float]] = {}
        for candidate in {str(one): one for one in chosen.values()}.values():
            learned[str(candidate)] = _accuracies(purify_in_memory(shown, PurifyRun(candidate.build()))[0], test)
        columns = {name: [str(one), learned[str(one)]] for name, one in chosen.items()}
        undefended = _accuracies(shown, test)
        write_json(path, {"attack": attack, **_verdict(audit), "none": undefended, **columns, **_how(shown)})
    records = [read_json(out / "advice" / f"{attack or 'clean'}.json") for attack in POISONS]
    lines = ["| set | audit | undefended | fast | auto | auto, 500 trusted |", "| --- | --- | --- | --- | --- | --- |"]
    for record in records:
        cells = [record["attack"] or "clean", record["answer"], _show(record["none"])]
        cells += [f"{_show(record[name][1])} `{record[name][0]}`" for name in ("fast", "auto", "auto, reference")]
        lines.append(f"| {' | '.join(cells)} |")
    note = (
        "2,500 pictures of CIFAR-10 (JPEG), poisons of profile `small`; accuracy in percent on 2,000 held-out training "
        f"pictures, mean of {len(SEEDS)} seeds and their standard deviation. Narcissus: only what clean pictures lose, "
        f"not its trigger. {records[0]['device']}."
    )
    text = "\n".join([*lines, "", note, ""])
    write_text(out / "advice.md", text)
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
