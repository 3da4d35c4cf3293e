"""Langevin steps per second, against a plain fp32 loop over a network that is written as the paper has it.

    python benchmarks/langevin.py --out results/langevin

Both move the same images by the same random weights. The plain loop is what is written down first: convolve, then
average, `autograd.grad` for the pixels, and a new leaf each step, so that the graph is freed. A second plain loop goes
through everything, weights too. Energies and gradients of both networks are compared before anything is timed. A
record is named after its kind of processor, and the table shows all that are there. Run it on an idle machine.
"""

from __future__ import annotations

import copy
import re
import statistics
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

import click
import machine
import torch
from engine import seconds
from torch import Tensor, nn
from torch.nn import functional as F

from unpoison.core.device import choose_device, same_bits
from unpoison.core.errors import RunError
from unpoison.core.files import write_json, write_text
from unpoison.core.noise import Noise
from unpoison.core.threads import available_cores
from unpoison.data.safe.checkpoints import read_state
from unpoison.dynamics.langevin import energy_and_gradient, langevin
from unpoison.nets.energy import SnganEnergy
from unpoison.nets.pixel_energy import PixelEnergy
from unpoison.nets.weights import save_model
from unpoison.purifiers.puregen.ebm import STEP_SIZE, PuregenEbmSettings
from unpoison.purifiers.weights import load_energy

BATCH = 128
PLAIN = "plain fp32, gradient of the pixels only"
TEMPERATURE = PuregenEbmSettings().temperature
FLOAT_ERROR = 1e-5  # our network sums the last layer in fp32 at any rate

Move = Callable[[Tensor, int], object]


class PlainEnergy(nn.Module):
    """The published energy network, block after block; names of the weights are the published ones."""

    def __init__(self, width: int):
        super().__init__()
        self.block1 = _layers(3, width, shortcut=True)
        self.block2 = _layers(width, width, shortcut=True)
        self.block3 = _layers(width, width, shortcut=False)
        self.block4 = _layers(width, width, shortcut=False)
        self.l5 = nn.Linear(width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.block1, self.block2
        x = F.avg_pool2d(first["c2"](F.relu(first["c1"](x))), 2) + first["c_sc"](F.avg_pool2d(x, 2))
        x = F.avg_pool2d(second["c2"](F.relu(second["c1"](F.relu(x)))) + second["c_sc"](x), 2)
        for block in (self.block3, self.block4):
            x = x + block["c2"](F.relu(block["c1"](F.relu(x))))
        return self.l5(F.relu(x).mean(dim=(2, 3)))


def _layers(before: int, width: int, *, shortcut: bool) -> nn.ModuleDict:
    layers = {"c1": nn.Conv2d(before, width, 3, padding=1), "c2": nn.Conv2d(width, width, 3, padding=1)}
    return nn.ModuleDict({**layers, "c_sc": nn.Conv2d(before, width, 1)} if shortcut else layers)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the record and table.md.")
@click.option("--width", "widths", type=int, multiple=True, default=(32, 128), show_default=True)
@click.option("--steps", default=1, show_default=True, help="Timed at once, at the largest width; more at others.")
@click.option("--repetitions", default=5, show_default=True, help="Of all loops in turn; the median counts.")
@click.option("--device", default="auto", show_default=True)
def main(out: Path, widths: tuple[int, ...], steps: int, repetitions: int, device: str) -> None:
    """Compare the networks, time the loops in turn, write a record and a table."""
    place, cores = choose_device(device), available_cores()
    torch.set_num_threads(cores)
    found = machine.describe(place)
    record: dict = {
        **found,
        "settings": {"batch": BATCH, "side": 32, "steps": steps, "repetitions": repetitions},
        "timed": [],
        "errors": {},
    }
    for width in widths:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "energy.safetensors"
            model = PixelEnergy(SnganEnergy(width))
            arguments = {"width": width}
            save_model(path, model, architecture="sngan-energy", arguments=arguments, kind="raw", settings={})
            loops, record["errors"][str(width)] = prepare(path, width, place, machine.precisions(found))
        for threads in sorted({1, cores}) if place.type == "cpu" else [cores]:
            torch.set_num_threads(threads)
            rates = measure(loops, steps * max(widths) // width, repetitions, place)
            record["timed"].append({"width": width, "threads": threads, "steps_per_second": rates})
        torch.set_num_threads(cores)
    write_json(out / f"{machine.file_name(record)}.json", record)
    text = table(machine.read_all(out))
    write_text(out / "table.md", text)
    click.echo(text)


def prepare(
    path: Path, width: int, place: torch.device, precisions: list[str]
) -> tuple[dict[str, Move], dict[str, Any]]:
    """The loops by name, and how far our energies and gradients are from those of the plain network."""
    plain = PlainEnergy(width).to(place).eval().requires_grad_(False)
    plain.load_state_dict(read_state(path))
    ours = {
        precision: load_energy(str(path), method="langevin", precision=precision, device=place)[0]
        for precision in precisions
    }
    errors = compare(plain, ours, place)
    if max(errors["ours fp64"].values()) > FLOAT_ERROR:
        raise RunError(f"the two networks are not the same function: relative errors {errors}")
    loops = {
        PLAIN: partial(plain_langevin, plain, everything=False),
        "plain fp32, backward through everything": partial(plain_langevin, plain, everything=True),
        **{f"langevin {precision}": partial(our_langevin, model) for precision, model in ours.items()},
    }
    return loops, errors


def compare(plain: nn.Module, ours: dict[str, PixelEnergy], place: torch.device) -> dict[str, dict[str, float]]:
    """Relative errors of energies and gradients, against those of the plain network in fp64.

    In fp64, because a ReLU whose input is nearly 0 opens or not as rounding will have it: gradients in fp32 differ
    where energies do not, and so do those of any two orders of summation.
    """
    x = images(place)[:32]
    exact = energy_and_gradient(x.cpu().double(), _energies(copy.deepcopy(plain).cpu().double()))
    with same_bits(place):
        found = {
            "ours fp64": energy_and_gradient(x.cpu().double(), copy.deepcopy(ours["fp32"]).cpu().double()),
            "plain fp32": energy_and_gradient(x, _energies(plain)),
            **{f"ours {precision}": energy_and_gradient(x, model) for precision, model in ours.items()},
        }
    return {
        name: {"energy": relative_error(energy, exact[0]), "gradient": relative_error(gradient, exact[1])}
        for name, (energy, gradient) in found.items()
    }


def _energies(net: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda x: net(x).flatten()


def images(place: torch.device) -> Tensor:
    """[128, 3, 32, 32] in [-1, 1]; the time does not depend on what they show."""
    return 2 * torch.rand(BATCH, 3, 32, 32, generator=torch.Generator().manual_seed(0)).to(place) - 1


def relative_error(value: Tensor, right: Tensor) -> float:
    """Root mean square of the difference, against that of the right values."""
    return ((value.cpu() - right).norm() / right.norm()).item()


def plain_langevin(net: nn.Module, x: Tensor, steps: int, *, everything: bool) -> Tensor:
    """Langevin dynamics as in a textbook."""
    net.requires_grad_(everything)
    for _ in range(steps):
        x = x.detach().requires_grad_(True)
        energy = net(x).sum()
        if everything:
            net.zero_grad()
            energy.backward()
            gradient = cast(Tensor, x.grad)
        else:
            (gradient,) = torch.autograd.grad(energy, x)
        x = x - STEP_SIZE**2 / (2 * TEMPERATURE) * gradient + STEP_SIZE * torch.randn_like(x)
    return x.detach()


def our_langevin(model: PixelEnergy, x: Tensor, steps: int) -> Tensor:
    """The same through ours; its noise is keyed by image."""
    noise = Noise(0, "langevin", [str(row) for row in range(len(x))])
    # As in a run; on the CPU that would be one core a call, and how many there are is what is compared.
    with same_bits(x.device) if x.device.type == "cuda" else nullcontext():
        return langevin(x, model, steps=steps, step_size=STEP_SIZE, temperature=TEMPERATURE, noise=noise)


def measure(loops: dict[str, Move], steps: int, repetitions: int, place: torch.device) -> dict[str, list[float]]:
    """Steps per second of each repetition, by loop: all loops once, then all once again, ..."""
    x = images(place)
    for loop in loops.values():
        loop(x, 1)
    rates: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(repetitions):
        for name, loop in loops.items():
            rates[name].append(steps / seconds(partial(loop, x, steps), place))
    return rates


def table(records: list[dict[str, Any]]) -> str:
    """The medians of all records, and their ratios to the first plain loop of the same record."""
    lines = [
        "| processor | width | threads | loop | precision | steps/s | times the first | lowest to highest |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for record in records:
        for entry in record["timed"]:
            first = entry["steps_per_second"][PLAIN]
            for name, rates in entry["steps_per_second"].items():
                loop, precision = re.sub(r" ?(fp32|bf16),?", "", name), re.findall("fp32|bf16", name)[0]
                ratio = statistics.median(rates) / statistics.median(first)
                ratios = [rate / plain for rate, plain in zip(rates, first, strict=True)]
                lines.append(
                    f"| {machine.kind(record)} | {entry['width']} | {entry['threads']} | {loop} | {precision} "
                    f"| {statistics.median(rates):,.2f} | {ratio:.2f} | {min(ratios):.2f} to {max(ratios):.2f} |"
                )
    settings = records[0]["settings"]
    everything = [found for record in records for found in record["errors"].values()]
    errors = {
        name: max(found[name]["gradient"] for found in everything if name in found)
        for name in ("ours fp64", "plain fp32", "ours fp32", "ours bf16")
        if any(name in found for found in everything)
    }
    in_bf16 = f", in bf16 ours by {errors['ours bf16']:.1g}" if "ours bf16" in errors else ""
    note = (
        f"Langevin steps of {settings['batch']} images of {settings['side']}x{settings['side']}: medians of "
        f"{settings['repetitions']} repetitions, in which the loops take turns; lowest to highest: ratios within one "
        f"repetition. {'; '.join(sorted({record['device'] for record in records}))}; random weights and images. "
        f"{machine.PLAYED} The two networks are one function: in fp64 "
        f"their gradients differ by {errors['ours fp64']:.1g} of their length; in fp32 those of the plain network "
        f"differ from that by {errors['plain fp32']:.1g} and ours by {errors['ours fp32']:.1g}{in_bf16}."
    )
    return "\n".join([*lines, "", note]) + "\n"


if __name__ == "__main__":
    main()
