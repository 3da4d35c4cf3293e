"""Image-gradients per second of the descent engine, against a plain loop over batches in fp32.

    python benchmarks/engine.py --out results/engine

Both attack the same ResNet-18 with random weights, for the same number of steps, without restarts. The plain loop is
what is written down first: the whole net in fp32, `loss.backward()`, the sign of the gradient, one batch after the
other. A second plain loop asks for the gradient of the pixels alone, to show which part of the gain that is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from torch.nn import functional as F

from unpoison.classify.classifier import Classifier, build_net
from unpoison.core.device import choose_device, describe_device, versions
from unpoison.core.files import write_json, write_text
from unpoison.core.pixels import to_float
from unpoison.poisons.pgd import Descent, DescentSettings, cross_entropy


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for engine.json and table.md.")
@click.option("--images", default=1024, show_default=True)
@click.option("--steps", default=4, show_default=True)
@click.option("--width", default=16, show_default=True, help="Channels of the net's first stage.")
@click.option("--runs", default=3, show_default=True, help="The fastest of so many counts.")
@click.option("--device", default="auto", show_default=True)
def main(out: Path, images: int, steps: int, width: int, runs: int, device: str) -> None:
    """Time the engine and the plain loops, write a record and a table."""
    place = choose_device(device)
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (images, 32, 32, 3), dtype=np.uint8)
    labels = torch.from_numpy(rng.integers(0, 10, images)).to(place)
    net = Classifier(
        build_net("resnet18", classes=10, width=width, seed=0),
        architecture="resnet18",
        width=width,
        class_names=[str(label) for label in range(10)],
        mean=[0.5] * 3,
        std=[0.25] * 3,
    )
    net = net.to(place).eval()
    timed = {
        "plain fp32, backward through everything": lambda: plain(net, pictures, labels, steps, everything=True),
        "plain fp32, gradient of the pixels only": lambda: plain(net, pictures, labels, steps, everything=False),
        "engine fp32": lambda: engine(net, pictures, labels, steps, "fp32", augment=False),
        "engine bf16": lambda: engine(net, pictures, labels, steps, "bf16", augment=False),
        "engine bf16 with random crops": lambda: engine(net, pictures, labels, steps, "bf16", augment=True),
    }
    rates = {name: images * steps / min(seconds(work, place) for _ in range(runs)) for name, work in timed.items()}
    first = next(iter(rates.values()))
    rows = [f"| {name} | {rate:,.0f} | {rate / first:.2f} |" for name, rate in rates.items()]
    record = {
        "settings": {"images": images, "steps": steps, "width": width, "runs": runs, "batch": 128},
        "image_gradients_per_second": rates,
        "versions": versions(),
        "device": describe_device(place),
    }
    write_json(out / "engine.json", record)
    note = (
        f"ResNet-18 of width {width}, {images:,} images of 32x32, {steps} steps, fastest of {runs} runs on "
        f"{record['device']}; random weights and images."
    )
    table = "\n".join(["| loop | image-gradients/s | against the first |", "|---|---|---|", *rows])
    write_text(out / "table.md", f"{table}\n\n{note}\n")
    click.echo(json.dumps(rates))


def plain(net: Classifier, pictures: np.ndarray, labels: torch.Tensor, steps: int, *, everything: bool) -> None:
    """PGD as in a textbook."""
    net.requires_grad_(everything)
    for start in range(0, len(pictures), 128):
        clean = to_float(pictures[start : start + 128]).to(labels.device)
        delta = torch.zeros_like(clean)
        for _ in range(steps):
            delta.requires_grad_(True)
            loss = F.cross_entropy(net(clean + delta), labels[start : start + 128])
            if everything:
                net.zero_grad()
                loss.backward()
                gradient = delta.grad
            else:
                (gradient,) = torch.autograd.grad(loss, delta)
            delta = (delta.detach() - gradient.sign() / 255).clamp(-8 / 255, 8 / 255)
            delta = (clean + delta).clamp(0, 1) - clean


def engine(
    net: Classifier, pictures: np.ndarray, labels: torch.Tensor, steps: int, precision: str, *, augment: bool
) -> None:
    """The same through our engine."""
    net.requires_grad_(False)
    settings = DescentSettings(
        steps=steps, step_size="1/255", crop_padding=4 * augment, flip=augment, precision=precision, batch_size=128
    )
    descent = Descent(settings, labels.device, torch.Generator().manual_seed(0))
    descent.run(pictures, lambda rows: cross_entropy([net], labels[rows]), random_start=False)


def seconds(work: Callable[[], None], device: torch.device) -> float:
    """How long a piece of work takes."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
