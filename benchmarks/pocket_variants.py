"""Variants of the denoiser `pocket`: error per noise against images a second. They decided which is shipped.

    python benchmarks/pocket_variants.py CLEAN HELD_OUT --out results/pocket-variants

CLEAN and HELD_OUT are image sets (here Tiny-ImageNet, 64 pixels). Every variant is fitted for the same few steps; a
variant with a record is not fitted again, and several processes may run at once. `--time` fits nothing: on an idle
machine it measures speeds, adds the weights that come with unpoison, and writes the table.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import click
import torch
from filelock import FileLock, Timeout
from torch import nn

from unpoison.core.device import describe_device, versions
from unpoison.core.files import write_json, write_text
from unpoison.core.images import ImageSet
from unpoison.core.methods import load_method
from unpoison.core.noise import Noise
from unpoison.core.pixels import to_float
from unpoison.core.progress import progress_bar
from unpoison.core.settings import build_settings
from unpoison.data import read
from unpoison.dynamics.fields import ColouredNoise
from unpoison.fitting.diffusion import fit
from unpoison.fitting.settings import DenoiserSettings
from unpoison.nets.half_resolution import ResidualBlock
from unpoison.nets.methods import METHODS
from unpoison.nets.pocket import PocketUNet
from unpoison.nets.preconditioned import PreconditionedDenoiser
from unpoison.nets.shipped import weights_path
from unpoison.nets.weights import load_model, read_header

VARIANTS = {
    "64 channels, blocks 1-2-1": {"channels": 64, "blocks": [1, 2, 1]},
    "96 channels, blocks 0-3-0": {"channels": 96, "blocks": [0, 3, 0]},
    "96 channels, blocks 1-2-1": {"channels": 96, "blocks": [1, 2, 1]},
    "64 channels, blocks 0-3-0": {"channels": 64, "blocks": [0, 3, 0]},
    "96 channels, blocks 1-2-1, separable": {"channels": 96, "blocks": [1, 2, 1]},
}
CHOSEN = "64 channels, blocks 0-3-0"
SHIPPED_ROW = "as shipped: 64 channels, blocks 0-3-0, 6,000 steps of 128"
# The network that lost is kept here, not in the package.
METHODS["pocket-separable"] = "pocket_variants:SeparablePocket"
STEPS = {"iterations": 1500, "batch_size": 64, "checkpoint_every": 250, "plots": False}
NOISES = [(6, 0), (12, 0), (25, 0), (40, 0), (80, 0), (12, 16), (12, 32)]  # white, smooth field; both * 255


class SeparablePocket(PocketUNet):
    """`pocket` with each 3x3 convolution of a block split into one per channel and one across channels."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        for block in self.modules():
            if isinstance(block, ResidualBlock):
                block.first, block.second = _split(block.first), _split(block.second)
                nn.init.zeros_(block.second[1].weight)
                nn.init.zeros_(block.second[1].bias)


def _split(convolution: nn.Conv2d) -> nn.Sequential:
    channels = convolution.in_channels
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False), nn.Conv2d(channels, channels, 1)
    )


def architecture(name: str) -> str:
    return "pocket-separable" if name.endswith("separable") else "pocket"


@click.command()
@click.argument("clean")
@click.argument("held_out")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--time", "timed", is_flag=True, help="Measure speeds and write the table; on an idle machine.")
def main(clean: str, held_out: str, out: Path, timed: bool) -> None:
    held = read(held_out)
    if timed:
        header = read_header(weights_path("pocket"))
        facts = describe(load_model(weights_path("pocket")), held)
        write_json(out / "shipped.json", {"variant": SHIPPED_ROW, "arguments": header.arguments, **facts})
        write_text(out / "table.md", table(out))
        return
    for name, arguments in VARIANTS.items():
        path = out / f"{name.replace(', ', '-').replace(' ', '_')}.json"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(out / "cache" / f"{path.stem}.lock", timeout=0):
                write_json(
                    path, measure(name, arguments, read(clean), held, out / "cache" / f"{path.stem}.safetensors")
                )
        except Timeout:
            continue


def measure(name: str, arguments: dict, clean: ImageSet, held_out: ImageSet, weights: Path) -> dict:
    """Fit a variant and measure its errors."""
    asked = {**STEPS, "arguments": arguments, "architecture": architecture(name)}
    settings = build_settings(DenoiserSettings, profiles=["pocket"], room="unpoison.fitting", overrides=asked)
    with progress_bar(f"fit {name}") as on_step:
        fitted = fit(clean, out=weights, settings=settings, on_step=on_step, device="cpu")
    return {
        "variant": name,
        "arguments": arguments,
        "settings": settings.model_dump(mode="json"),
        "clean": clean.content_hash,
        "seconds": round(fitted.seconds, 1),
        **describe(fitted.model, held_out),
    }


def describe(model: PreconditionedDenoiser, held_out: ImageSet) -> dict:
    """Errors on 1,000 held-out pictures, shrunk to 32 pixels."""
    pictures = to_float(held_out.subset(range(0, len(held_out), max(1, len(held_out) // 1000))).array())
    pictures = nn.functional.interpolate(pictures, (32, 32), mode="bilinear", antialias=True)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "errors": {f"{white}+{field}": error(model, pictures, white / 255, field / 255) for white, field in NOISES},
        "held_out": held_out.content_hash,
        "pictures": len(pictures),
        "versions": versions(),
        "device": describe_device(torch.device("cpu")),
    }


@torch.inference_mode()
def error(model: PreconditionedDenoiser, clean: torch.Tensor, sigma: float, field: float) -> float:
    """Root mean squared error of one call, times 255."""
    ids = [str(row) for row in range(len(clean))]
    noisy = clean + sigma * ColouredNoise(Noise(0, "variants", ids), field / sigma).normal(clean, "forward")
    parts = [
        model.denoise(part, part.new_full((len(part),), sigma), part.new_full((len(part),), field))
        for part in noisy.split(250)
    ]
    return round(255 * (torch.cat(parts).clamp(0, 1) - clean).square().mean().sqrt().item(), 3)


@torch.inference_mode()
def speed(name: str, arguments: dict, *, calls: int = 20, size: int = 64) -> float:
    """Images a second at 32x32 in bf16, random weights."""
    build = load_method(METHODS, architecture(name), kind="architecture")
    model = PreconditionedDenoiser(
        build(**arguments).eval(), sigma_min=2 / 255, sigma_max=0.4, field_max=0.3, autocast_dtype=torch.bfloat16
    )
    images, sigma = torch.rand(size, 3, 32, 32), torch.full((size,), 0.1)
    model.denoise(images, sigma)
    started = time.perf_counter()
    for _ in range(calls):
        model.denoise(images, sigma)
    return calls * size / (time.perf_counter() - started)


def table(out: Path) -> str:
    """Errors and speeds side by side; each speed is the best of five rounds through all variants."""
    records = {
        record["variant"]: record
        for record in (json.loads(path.read_text()) for path in out.glob("*.json"))
        if "variant" in record
    }
    rounds = [{name: speed(name, arguments) for name, arguments in VARIANTS.items()} for _ in range(5)]
    speeds = {name: round(max(found[name] for found in rounds)) for name in VARIANTS}
    write_json(
        out / "speed.json",
        {
            "images_per_second": speeds,
            "threads": torch.get_num_threads(),
            "device": describe_device(torch.device("cpu")),
        },
    )
    pictures = next(iter(records.values()))["pictures"]
    lines = [
        f"rms error * 255 of one call on {pictures} held-out pictures of 32x32, "
        f"after {STEPS['iterations']} steps of {STEPS['batch_size']} patches; noise is white + smooth field, * 255; "
        f"images a second: one call, bf16, {torch.get_num_threads()} threads",
        "",
        "| variant | parameters | " + " | ".join(f"{white}+{field}" for white, field in NOISES) + " | images/s |",
        "|---|---|" + "---|" * (len(NOISES) + 1),
    ]
    for name in [*VARIANTS, SHIPPED_ROW]:
        rate = speeds.get(name, speeds[CHOSEN])
        if name in records:
            errors = " | ".join(f"{records[name]['errors'][f'{white}+{field}']:.2f}" for white, field in NOISES)
            lines.append(f"| {name} | {records[name]['parameters']:,} | {errors} | {rate:,} |")
        else:
            lines.append(f"| {name}: not fitted | | {' | ' * (len(NOISES) - 1)} | {rate:,} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
