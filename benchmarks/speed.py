"""How fast `fast` is, and how much memory it takes, on one machine in one run.

    python benchmarks/speed.py CIFAR_PARQUET --out results/speed

CIFAR_PARQUET holds 50,000 pictures of 32x32. Larger pictures are mosaics of enlarged ones. Ratios are the point: the
same minutes, the same cores. A record is named after its kind of processor, and the table shows all that are there.
Run it on an idle machine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import machine
import numpy as np
import torch
from PIL import Image

import unpoison
from unpoison.core.device import same_bits
from unpoison.core.files import write_json, write_text
from unpoison.core.images import ImageSet
from unpoison.core.noise import Noise
from unpoison.core.pixels import to_float
from unpoison.core.precision import autocast, resolve
from unpoison.core.settings import Precision
from unpoison.core.threads import available_cores
from unpoison.data import read
from unpoison.dynamics.samplers import ancestral
from unpoison.nets.eclipse_unet import build_eclipse_unet
from unpoison.nets.epsilon import EpsilonModel
from unpoison.nets.schedules import Schedule
from unpoison.purifiers.chain import build_purifier
from unpoison.purifiers.settings import purifier_settings

Row = tuple[str, str, dict[str, float]]  # what, precision, figures

ROWS = ("precisions", "folders", "eclipse")
FOLDERS = ((32, 32, 20_000), (224, 224, 600), (1024, 768, 40))  # width, height, how many
COMMAND = [sys.executable, "-m", "unpoison", "purify"]


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--rows", type=click.Choice(ROWS), multiple=True, default=ROWS, show_default=True, help="What to time.")
def main(source: Path, out: Path, rows: tuple[str, ...]) -> None:
    """Time the rows asked for; those that the record of this kind of processor has besides are kept."""
    pictures, place = read(str(source)), torch.device("cpu")
    torch.set_num_threads(available_cores())
    settings = purifier_settings("fast")["fast"]
    default = resolve(settings, place).model_dump()["precision"]
    found: dict[str, Any] = {
        **machine.describe(place),
        "settings": settings.model_dump(mode="json"),
        "default": default,
        "data": {"images": len(pictures), "hash": pictures.content_hash},
        "cores": os.cpu_count(),
    }
    path = out / f"{machine.file_name(found)}.json"
    timed: dict[tuple[str, str], dict[str, Any]] = {}
    if path.exists():
        timed = {(row["name"], row["precision"]): row for row in json.loads(path.read_text(encoding="utf-8"))["timed"]}
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        for part in rows:
            for name, precision, measured in PARTS[part](pictures, source, Path(folder), found, place):
                timed[name, precision] = {"name": name, "precision": precision, **measured}
    write_json(path, {**found, "timed": list(timed.values())})
    text = table(machine.read_all(out))
    write_text(out / "table.md", text)
    click.echo(text)


def in_every_precision(
    pictures: ImageSet, source: Path, work: Path, found: dict[str, Any], place: torch.device
) -> Iterator[Row]:
    """50,000 pictures of 32x32, and what of it is network and convolutions."""
    for precision in [*machine.precisions(found), "int8"]:
        yield "the network alone, calls of 64, one core", precision, network(pictures, precision, place)
        if precision != "int8":
            yield "its convolutions alone, one core", precision, convolutions(pictures, precision, place)
        yield "50,000 of 32x32, array to array", precision, array_to_array(pictures, precision=precision)
        measured = file_to_file(source, work / "small.parquet", len(pictures), "--precision", precision)
        yield "50,000 of 32x32, parquet to parquet", precision, measured


def in_folders(
    pictures: ImageSet, source: Path, work: Path, found: dict[str, Any], place: torch.device
) -> Iterator[Row]:
    """Folders of pictures of several sizes, as the command takes them by itself."""
    for width, height, count in FOLDERS:
        folder = make_folder(pictures, work / f"{width}", width, height, count)
        measured = file_to_file(folder, work / f"{width}-purified", count)
        megapixels = round(width * height * count / 1e6 / measured["seconds"], 3)
        name = f"{count:,} of {width}x{height}, folder to folder"
        yield name, found["default"], {**measured, "megapixels_per_second": megapixels}


def through_eclipse(
    pictures: ImageSet, source: Path, work: Path, found: dict[str, Any], place: torch.device
) -> Iterator[Row]:
    """The reference's network and steps."""
    yield "16 of 32x32 through ECLIPSE's network, 100 steps", "fp32", eclipse_loop(pictures)


PARTS = {"precisions": in_every_precision, "folders": in_folders, "eclipse": through_eclipse}


def network(pictures: ImageSet, precision: str, place: torch.device) -> dict[str, float]:
    """Images a second through the denoiser, from memory."""
    purifier: Any = build_purifier(purifier_settings("fast", overrides={"precision": precision}), device=place)
    images = to_float(pictures.subset(range(64)).array())
    sigma = torch.full((64,), purifier.sigma)
    with same_bits(place), torch.inference_mode():
        return rate(lambda: purifier.denoiser.denoise(images, sigma))


def convolutions(pictures: ImageSet, precision: Precision, place: torch.device) -> dict[str, float]:
    """The same through the network's convolutions and nothing else, each on the input that it has in a call."""
    purifier: Any = build_purifier(purifier_settings("fast", overrides={"precision": precision}), device=place)
    images, sigma = to_float(pictures.subset(range(64)).array()), torch.full((64,), purifier.sigma)
    calls: list[tuple[torch.nn.Module, torch.Tensor]] = []
    layers = [part for part in purifier.denoiser.denoiser.modules() if isinstance(part, torch.nn.Conv2d)]
    hooks = [layer.register_forward_hook(lambda layer, given, _: calls.append((layer, given[0]))) for layer in layers]
    with same_bits(place), torch.inference_mode(), autocast(precision, place):
        purifier.denoiser.denoise(images, sigma)
        for hook in hooks:
            hook.remove()
        return rate(lambda: [layer(given) for layer, given in calls])


def rate(call: Callable[[], object], count: int = 64) -> dict[str, float]:
    """Images a second of a call on so many: the fastest of ten after a first one."""
    seconds = min([timed(call) for _ in range(11)][1:])
    return {"seconds": round(seconds, 4), "images_per_second": round(count / seconds, 1)}


def timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def array_to_array(pictures: ImageSet, **settings: str) -> dict[str, float]:
    """uint8 [N, 32, 32, 3] in memory to the same: all that `unpoison.purify` does, after one warm call."""
    images = pictures.array()
    unpoison.purify(images[:512], **settings)
    started = time.perf_counter()
    unpoison.purify(images, **settings)
    seconds = time.perf_counter() - started
    return {"seconds": round(seconds, 2), "images_per_second": round(len(images) / seconds, 1)}


@torch.inference_mode()
def eclipse_loop(pictures: ImageSet, count: int = 16) -> dict[str, float]:
    """ECLIPSE's own network, random weights, all 100 ancestral steps in fp32, as its code calls it."""
    model = EpsilonModel(build_eclipse_unet().eval(), schedule=Schedule("cosine", 4000), time_scale=0.25)
    images = to_float(pictures.subset(range(count)).array())
    noise = Noise(0, "speed", [str(row) for row in range(count)])
    started = time.perf_counter()
    ancestral(images, model, t=100, noise=noise)
    seconds = time.perf_counter() - started
    return {"images": count, "seconds": round(seconds, 2), "images_per_second": round(count / seconds, 4)}


def file_to_file(source: Path, target: Path, count: int, *options: str) -> dict[str, float]:
    """The command in a process of its own: start, read, purify, write, page. Peak memory is that process's."""
    code = (
        "import resource, subprocess, sys, time; started = time.perf_counter();"
        f"subprocess.run({[*COMMAND, str(source), str(target), *options]!r}, check=True, stderr=subprocess.DEVNULL,"
        " stdout=subprocess.DEVNULL);"
        "print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    seconds, peak = float(answer[0]), float(answer[1]) / 1024**2
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    return {
        "seconds": round(seconds, 2),
        "images_per_second": round(count / seconds, 1),
        "peak_gigabytes": round(peak, 3),
    }


def make_folder(pictures: ImageSet, target: Path, width: int, height: int, count: int) -> Path:
    """Pictures of a size as PNG files: 32x32 as they are, larger ones as mosaics of pictures enlarged four times."""
    rng = np.random.default_rng(0)
    for number in range(count):
        path = target / f"class{number % 10}" / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if width == 32:
            picture = Image.fromarray(pictures.picture(number).rgb)
        else:
            picture = Image.new("RGB", (width, height))
            for top in range(0, height, 128):
                for left in range(0, width, 128):
                    part = Image.fromarray(pictures.picture(int(rng.integers(len(pictures)))).rgb)
                    picture.paste(part.resize((128, 128), Image.Resampling.BICUBIC), (left, top))
        picture.save(path, compress_level=1)
    return target


def table(records: list[dict[str, Any]]) -> str:
    lines = [
        "| processor | from, to | precision | seconds | images/s | megapixels/s | peak memory, GB |",
        "|---|---|---|---|---|---|---|",
    ]
    for record in records:
        for entry in record["timed"]:
            precision = f"{entry['precision']}{' (auto)' if entry['precision'] == record['default'] else ''}"
            megapixels, peak = entry.get("megapixels_per_second", ""), entry.get("peak_gigabytes", "")
            lines.append(
                f"| {machine.kind(record)} | {entry['name']} | {precision} | {entry['seconds']:,} "
                f"| {entry['images_per_second']:,} | {megapixels} | {peak} |"
            )
    settings = records[0]["settings"]
    note = (
        f"`fast`: sigma {settings['sigma']}, field {settings['field']}, steps {settings['steps']}. "
        f"{'; '.join(sorted({record['device'] for record in records}))}, {records[0]['cores']} cores. Files: a process "
        f"of its own, start and page included. {machine.PLAYED}"
    )
    return "\n".join([*lines, "", note]) + "\n"


if __name__ == "__main__":
    main()
