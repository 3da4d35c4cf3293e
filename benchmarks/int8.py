"""The default denoiser in whole numbers: what that costs and gains.

    python benchmarks/int8.py errors HELD_OUT --out results/int8
    python benchmarks/int8.py speed --out results/int8     # on an idle machine; one core

HELD_OUT is an image set; here CIFAR-10's test part. Where ranges end was chosen by errors on both Tiny-ImageNet's
validation part and these pictures; of accuracies nothing was looked at.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import click
import torch
from torch import Tensor

from unpoison.core.device import describe_device, versions
from unpoison.core.files import write_json, write_text
from unpoison.core.noise import Noise
from unpoison.core.pixels import to_float
from unpoison.data import read
from unpoison.dynamics.fields import ColouredNoise
from unpoison.nets.preconditioned import PreconditionedDenoiser
from unpoison.nets.ranges import quantise_denoiser
from unpoison.nets.shipped import weights_path
from unpoison.nets.weights import load_model

WHITE = (2, 3, 4, 6, 9, 12, 18, 25, 36, 50, 71, 100)  # * 255, all that `pocket` was fitted for
WEIGHTS = weights_path("pocket")


@click.group()
def main() -> None:
    """Measure the denoiser in whole numbers."""


def add_noise(clean: Tensor, white: float, field: float) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy pictures with their sigma and field, [N] each."""
    ids = [str(row) for row in range(len(clean))]
    noise = ColouredNoise(Noise(0, "int8", ids), field / white).normal(clean, "forward")
    sigma = clean.new_full((len(clean),), white / 255)
    return clean + white / 255 * noise, sigma, torch.full_like(sigma, field / 255)


@main.command()
@click.argument("held_out")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def errors(held_out: str, out: Path) -> None:
    """Compare the errors on held-out pictures."""
    image_set = read(held_out)
    pictures = to_float(image_set.subset(range(0, len(image_set), max(1, len(image_set) // 500))).array())
    denoisers = {"fp32": load_float(), "int8": load_whole()}
    rows = []
    for field in (0, 16):
        for white in WHITE:
            noisy = add_noise(pictures, white, field)
            found = {name: error(denoiser, pictures, noisy) for name, denoiser in denoisers.items()}
            rows.append({"white": white, "field": field, **found, "ratio": round(found["int8"] / found["fp32"], 5)})
    facts = {"held_out": image_set.content_hash, "pictures": len(pictures), **about()}
    write_json(out / "errors.json", {"rows": rows, **facts})
    write_table(out)


@torch.inference_mode()
def error(denoiser: PreconditionedDenoiser, clean: Tensor, noisy: tuple[Tensor, Tensor, Tensor]) -> float:
    """Root mean squared error of one call, times 255."""
    parts = [denoiser.denoise(*part) for part in zip(*(whole.split(100) for whole in noisy), strict=True)]
    return round(255 * (torch.cat(parts).clamp(0, 1) - clean).square().mean().sqrt().item(), 5)


@main.command()
@click.option("--out", type=click.Path(path_type=Path), required=True)
def speed(out: Path) -> None:
    """Images of 32x32 a second on one core, in calls of 64; adds this kind of processor to the record."""
    torch.set_num_threads(1)
    denoisers = {"fp32": load_float(), "int8": load_whole()}
    images, sigma, field = add_noise(torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(0)), 25, 16)
    best = dict.fromkeys(denoisers, float("inf"))
    with torch.inference_mode():
        for _ in range(30):  # in turn, so that both see the same machine
            for name, denoiser in denoisers.items():
                started = time.perf_counter()
                denoiser.denoise(images, sigma, field)
                best[name] = min(best[name], time.perf_counter() - started)
    found = {name: round(len(images) / seconds) for name, seconds in best.items()}
    path = out / "speed.json"
    record = json.loads(path.read_text()) if path.exists() else {}
    record[torch.backends.cpu.get_cpu_capability()] = {
        **found,
        "ratio": round(best["fp32"] / best["int8"], 2),
        **about(),
    }
    write_json(path, record)
    write_table(out)


def load_float() -> PreconditionedDenoiser:
    """`pocket` as it is used in fp32."""
    denoiser = load_model(WEIGHTS)
    assert isinstance(denoiser, PreconditionedDenoiser)
    return denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def load_whole() -> PreconditionedDenoiser:
    """`pocket` in whole numbers."""
    return quantise_denoiser(load_model(WEIGHTS), WEIGHTS)


def about() -> dict:
    """Where this was measured."""
    return {"versions": versions(), "device": describe_device(torch.device("cpu"))}


def write_table(out: Path) -> None:
    """Both records as tables."""
    lines = []
    if (out / "errors.json").exists():
        record = json.loads((out / "errors.json").read_text())
        lines += ["| white noise | smooth field | error fp32 | error int8 | ratio |", "|---|---|---|---|---|"]
        lines += [
            f"| {row['white']} | {row['field']} | {row['fp32']:.3f} | {row['int8']:.3f} | {row['ratio']:.4f} |"
            for row in record["rows"]
        ]
        lines += ["", f"Root mean squared error of one call on {record['pictures']} pictures; all in 8-bit levels.", ""]
    if (out / "speed.json").exists():
        record = json.loads((out / "speed.json").read_text())
        lines += ["| processor as | fp32, images/s | int8, images/s | ratio |", "|---|---|---|---|"]
        lines += [f"| {name} | {row['fp32']} | {row['int8']} | {row['ratio']} |" for name, row in record.items()]
        lines += ["", "One core, calls of 64 pictures of 32x32, the denoiser alone, best of 30."]
    write_text(out / "table.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
