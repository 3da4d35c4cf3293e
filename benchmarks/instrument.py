"""Which small training tells defences apart: its spread between seeds, its accuracy and its cost on clean pictures.

    python benchmarks/instrument.py measure CIFAR --out results/instrument [--only NAME] [--seeds 4]
    python benchmarks/instrument.py table results/instrument

The first trains candidates on the first 10,000 pictures of CIFAR-10 (JPEG), one thread, fp32, and tests each after its
last epoch on 10,000 others, with the weights of that epoch and with the mean of the weights of the last few: two to
eight minutes a training. It goes on if stopped. No picture that a table scores is looked at. Chosen: `hlb-s 16`, the
cheapest whose deviation is below half a point; it is the training of the suites `availability` and `availability-core`.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import click
import torch

from unpoison.classify.classifier import Classifier, predict
from unpoison.classify.training import train
from unpoison.core.device import describe_device, versions
from unpoison.core.documents import read_json
from unpoison.core.files import write_json, write_text
from unpoison.core.images import ImageSet
from unpoison.data import read

HLB = {"model": "hlb-s", "profile": "puregen-hlb-small", "width": 16, "epochs": 12}
SLOW = {"lookahead": 5, "alternating_flip": True}
CANDIDATES: dict[str, dict[str, Any]] = {
    "hlb-s 16": HLB,
    "hlb-s 16, lookahead": {**HLB, "lookahead": 5},
    "hlb-s 16, lookahead, paired flips": {**HLB, **SLOW},
    "hlb-s 24, lookahead, paired flips": {**HLB, **SLOW, "width": 24},
    "hlb-s 16, lookahead, paired flips, 8 epochs": {**HLB, **SLOW, "epochs": 8},
    "airbench94 16": {"model": "airbench94", "profile": "airbench", "width": 16, "epochs": 12, "batch_size": 256},
    "resnet18 16": {"model": "resnet18", "profile": "fast", "width": 16},
}
MEANS = (1, 2, 3, 4)  # of how many last epochs the weights are averaged


@click.group()
def main() -> None:
    """Measure the instrument."""


@main.command()
@click.argument("cifar", type=click.Path(exists=True))
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--only", multiple=True, type=click.Choice(list(CANDIDATES)), help="Candidates; all if none is named.")
@click.option("--seeds", type=click.IntRange(2), default=4, show_default=True)
def measure(cifar: str, out: Path, only: tuple[str, ...], seeds: int) -> None:
    """Write a record for each training."""
    torch.set_num_threads(1)
    train_set, test_set = read(f"{cifar}[:10000]"), read(f"{cifar}[40000:50000]")
    about = {"train": train_set.content_hash, "test": test_set.content_hash, "versions": versions()}
    for name in only or CANDIDATES:
        for seed in range(seeds):
            record = out / f"{name.replace(',', '').replace(' ', '-')}-{seed}.json"
            if record.exists():
                continue
            click.echo(f"{name}, seed {seed}")
            device = describe_device(torch.device("cpu"))
            found = _train(CANDIDATES[name], train_set, test_set, seed)
            write_json(record, {"name": name, "seed": seed, **found, "device": device, **about})


def _train(settings: dict[str, Any], train_set: ImageSet, test_set: ImageSet, seed: int) -> dict[str, Any]:
    last: list[dict[str, torch.Tensor]] = []

    def keep(epoch: int, net: Classifier) -> None:
        last.append({name: value.clone() for name, value in net.state_dict().items()})
        del last[: -max(MEANS)]

    start = time.process_time()
    once = {"precision": "fp32", "test_every": 100}  # only after the last epoch
    trained = train(train_set, test_set=test_set, seed=seed, on_epoch=keep, **once, **settings)
    seconds = time.process_time() - start
    accuracy = {}
    for count in MEANS:
        trained.net.load_state_dict(_mean(last[-count:]))
        named = predict(trained.net, test_set.array())
        accuracy[count] = float((named == test_set.labels).mean())
    return {"settings": trained.settings.model_dump(mode="json"), "accuracy": accuracy, "core seconds": seconds}


def _mean(states: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if last.is_floating_point() else last
        for name, last in states[-1].items()
    }


@main.command()
@click.argument("records", type=click.Path(path_type=Path, exists=True))
def table(records: Path) -> None:
    """Write table.md: accuracy and its deviation between seeds, in %, by how many epochs are averaged."""
    found = [read_json(path) for path in sorted(records.glob("*.json"))]
    heads = ["last epoch", *(f"mean of {count}" for count in MEANS[1:])]
    lines = [f"| training | seeds | {' | '.join(heads)} | core seconds |", f"|---|{'---|' * (len(MEANS) + 2)}"]
    for name in CANDIDATES:
        own = [record for record in found if record["name"] == name]
        if len(own) < 2:
            continue
        cells = []
        for count in MEANS:
            values = [100 * record["accuracy"][str(count)] for record in own]
            cells.append(f"{mean(values):.1f} ± {stdev(values):.2f}")
        seconds = median([record["core seconds"] for record in own])
        lines.append(f"| {name} | {len(own)} | {' | '.join(cells)} | {seconds:.0f} |")
    lines += ["", "10,000 pictures of CIFAR-10 (JPEG), tested on 10,000 others, fp32; ±: deviation between seeds.", ""]
    write_text(records / "table.md", "\n".join(lines))
    click.echo((records / "table.md").read_text())


if __name__ == "__main__":
    main()
