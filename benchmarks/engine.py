"""Image-gradients per second of the descent engine, against a plain loop over batches in fp32.

    python benchmarks/engine.py --out results/engine

Both attack the same ResNet-18 with random weights, for the same number of steps, without restarts. The plain loop is
what is written down first: the whole net in fp32, `loss.backward()`, the sign of the gradient, one batch after the
other. A second plain loop asks for the gradient of the pixels alone, to show which part of the gain that is. A record
is named after its kind of processor, and the table shows all that are there. Run it on an idle machine.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import machine
import numpy as np
import torch
from torch.nn import functional as F

from unpoison.classify.classifier import Classifier, build_net
from unpoison.core.device import choose_device
from unpoison.core.files import write_json, write_text
from unpoison.core.pixels import to_float
from unpoison.poisons.engine.pgd import Descent, DescentSettings, cross_entropy


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the record and table.md.")
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
    }
    found = machine.describe(place)
    for precision in machine.precisions(found):
        for name, augment in ((f"engine {precision}", False), (f"engine {precision} with random crops", True)):
            timed[name] = partial(engine, net, pictures, labels, steps, precision, augment=augment)
    rates = {name: images * steps / min(seconds(work, place) for _ in range(runs)) for name, work in timed.items()}
    record = {
        **found,
        "settings": {"images": images, "steps": steps, "width": width, "runs": runs, "batch": 128},
        "image_gradients_per_second": rates,
    }
    write_json(out / f"{machine.file_name(record)}.json", record)
    text = table(machine.read_all(out))
    write_text(out / "table.md", text)
    click.echo(text)


def table(records: list[dict[str, Any]]) -> str:
    """All records, each against its own first loop."""
    lines = ["| processor | loop | precision | image-gradients/s | against the first |", "|---|---|---|---|---|"]
    for record in records:
        rates = record["image_gradients_per_second"]
        first = next(iter(rates.values()))
        for name, rate in rates.items():
            loop, precision = re.sub(r" ?(fp32|bf16),?", "", name), re.findall("fp32|bf16", name)[0]
            lines.append(f"| {machine.kind(record)} | {loop} | {precision} | {rate:,.0f} | {rate / first:.2f} |")
    settings = records[0]["settings"]
    note = (
        f"ResNet-18 of width {settings['width']}, {settings['images']:,} images of 32x32, {settings['steps']} steps, "
        f"fastest of {settings['runs']} runs; random weights and images. "
        f"{'; '.join(sorted({record['device'] for record in records}))}. {machine.PLAYED}"
    )
    return "\n".join([*lines, "", note]) + "\n"


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
