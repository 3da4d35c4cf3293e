"""How fast `fast` is, and how much memory it takes, on one machine in one run.

    python benchmarks/speed.py CIFAR_PARQUET --out results/speed

CIFAR_PARQUET holds 50,000 pictures of 32x32. Larger pictures are mosaics of enlarged ones. Ratios are the point: the
same minutes, the same cores. Run it on an idle machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image

import unpoison
from unpoison.core.device import describe_device, versions
from unpoison.core.files import write_json, write_text
from unpoison.core.images import ImageSet
from unpoison.core.noise import Noise
from unpoison.core.pixels import to_float
from unpoison.core.settings import bound_value
from unpoison.data import read
from unpoison.dynamics.samplers import ancestral
from unpoison.nets.eclipse_unet import build_eclipse_unet
from unpoison.nets.epsilon import EpsilonModel
from unpoison.nets.schedules import Schedule
from unpoison.purifiers.building import purifier_settings

FOLDERS = {"32x32": (32, 32, 20_000), "224x224": (224, 224, 600), "1024x768": (1024, 768, 40)}
ONE_STEP = ("--steps", "1")
COMMAND = [sys.executable, "-m", "unpoison", "purify"]


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(source: Path, out: Path) -> None:
    pictures = read(str(source))
    settings = purifier_settings("fast")["fast"]
    found: dict = {
        "settings": settings.model_dump(mode="json"),
        "sigma_255": round(255 * bound_value(settings.sigma), 2),
        "data": {"images": len(pictures), "hash": pictures.content_hash},
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "versions": versions(),
        "device": describe_device(torch.device("cpu")),
    }
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        work = Path(folder)
        found["array"] = array_to_array(pictures, steps=1)
        found["array_default"] = array_to_array(pictures)
        found["eclipse_100_steps"] = eclipse_loop(pictures)
        found["parquet_50000"] = file_to_file(source, work / "small.parquet", len(pictures), *ONE_STEP)
        found["parquet_50000_default"] = file_to_file(source, work / "small.parquet", len(pictures))
        large = repeat_parquet(source, work / "four.parquet", 4)
        found["parquet_200000"] = file_to_file(large, work / "large.parquet", 4 * len(pictures), *ONE_STEP)
        for name, width, height, count in (
            ("32x32", 32, 32, 20_000),
            ("224x224", 224, 224, 600),
            ("1024x768", 1024, 768, 40),
        ):
            folder_of = make_folder(pictures, work / name, width, height, count)
            found[f"folder_{name}"] = file_to_file(folder_of, work / f"{name}-purified", count, *ONE_STEP)
            found[f"folder_{name}"]["megapixels_per_second"] = round(
                width * height * count / 1e6 / found[f"folder_{name}"]["seconds"], 3
            )
    found["times_faster_than_eclipse"] = round(
        found["array"]["images_per_second"] / found["eclipse_100_steps"]["images_per_second"]
    )
    write_json(out / "speed.json", found)
    write_text(out / "table.md", table(found))
    click.echo(table(found))


def array_to_array(pictures: ImageSet, **settings: int) -> dict[str, float]:
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


def repeat_parquet(source: Path, target: Path, times: int) -> Path:
    """The same rows several times in one file."""
    import pyarrow.parquet as parquet

    file = parquet.ParquetFile(source)
    with parquet.ParquetWriter(target, file.schema_arrow) as writer:
        for _ in range(times):
            for batch in file.iter_batches(1000):
                writer.write_batch(batch)
    return target


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


def table(found: dict) -> str:
    lines = ["| from, to | seconds | images/s | megapixels/s | peak memory, GB |", "|---|---|---|---|---|"]
    names = {
        "array": "50,000 of 32x32, array to array, one step",
        "array_default": "the same, default steps",
        "parquet_50000": "50,000 of 32x32, parquet to parquet, one step",
        "parquet_50000_default": "the same, default steps",
        "parquet_200000": "200,000 of 32x32, parquet to parquet, one step",
        "folder_32x32": "20,000 of 32x32, folder to folder, one step",
        "folder_224x224": "600 of 224x224, folder to folder, one step",
        "folder_1024x768": "40 of 1024x768, folder to folder, one step",
        "eclipse_100_steps": "16 of 32x32 through ECLIPSE's network, 100 steps, fp32",
    }
    for key, name in names.items():
        entry = found[key]
        megapixels, peak = entry.get("megapixels_per_second", ""), entry.get("peak_gigabytes", "")
        lines.append(f"| {name} | {entry['seconds']:,} | {entry['images_per_second']:,} | {megapixels} | {peak} |")
    ratio = found["times_faster_than_eclipse"]
    settings = found["settings"]
    note = (
        f"`fast`: sigma {settings['sigma']}, field {settings['field']}, {settings['precision']}; default steps: "
        f"{settings['steps']}. {found['device']}, {found['cores']} cores; files: a process of its own, start and page "
        f"included. With one step, array to array is {ratio:,} times as fast as the 52.5-million-parameter network in "
        "its 100 steps."
    )
    return "\n".join([*lines, "", note]) + "\n"


if __name__ == "__main__":
    main()
