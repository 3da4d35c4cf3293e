"""How long the attacks that need no network take for a whole training set, and how much memory.

    python benchmarks/crafting.py --out results/crafting [--source SRC]

Without SRC, 50,000 made-up pictures of 32x32 with 10 labels: the time depends on size and number, not on what is shown.
Every attack runs in a process of its own. Run it on an idle machine.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import torch

from unpoison.core.device import describe_device, versions
from unpoison.core.files import write_json, write_text
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.core.methods import load_method
from unpoison.core.noise import generator
from unpoison.data import read
from unpoison.poisons.measuring import achieved_norms
from unpoison.poisons.methods import METHODS
from unpoison.poisons.protocol import Resources

ATTACKS = ("urp", "lsp", "ar", "ops", "cuda")


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--source", help="Real pictures, all of one size.")
@click.option("--count", default=50_000, show_default=True, help="Pictures made up where there is no source.")
@click.option("--only", type=click.Choice(ATTACKS), hidden=True, help="Measure here and print it: what a child does.")
def main(out: Path, source: str | None, count: int, only: str | None) -> None:
    if only:
        click.echo(json.dumps(measure(only, pictures(source, count))))
        return
    image_set = pictures(source, count)
    found: dict = {
        "data": {"name": image_set.name, "images": len(image_set), "hash": image_set.content_hash},
        "classes": len(image_set.class_names),
        "height_width": image_set.sizes[0].tolist(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "versions": versions(),
        "device": describe_device(torch.device("cpu")),
        "attacks": {},
    }
    for attack in ATTACKS:
        command = [sys.executable, __file__, "--out", str(out), "--count", str(count), "--only", attack]
        given = ["--source", source] if source else []
        answer = subprocess.run([*command, *given], check=True, stdout=subprocess.PIPE, text=True).stdout
        found["attacks"][attack] = json.loads(answer.splitlines()[-1])
    write_json(out / "crafting.json", found)
    write_text(out / "table.md", table(found))
    click.echo(table(found))


def pictures(source: str | None, count: int) -> ImageSet:
    """The pictures to poison, in memory."""
    if source:
        read_set = read(source)
        return ArrayImageSet(read_set.array(), read_set.labels, class_names=read_set.class_names, name=read_set.name)
    coarse = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return ArrayImageSet(coarse.repeat(4, axis=1).repeat(4, axis=2), np.arange(count) % 10, name="made-up")


def measure(attack: str, image_set: ImageSet) -> dict:
    """Craft once, cold, with the paper's settings. Peak memory is that of the process, before and after."""
    method = load_method(METHODS, attack, kind="attack")
    settings = method.Settings()
    before = peak_gigabytes()
    started = time.perf_counter()
    poisoned = method().craft(image_set, settings, generator=generator(0, attack), resources=Resources(device="cpu"))
    seconds = time.perf_counter() - started
    after = peak_gigabytes()
    return {
        "settings": settings.model_dump(mode="json"),
        "seconds": round(seconds, 2),
        "images_per_second": round(len(image_set) / seconds),
        "peak_gigabytes": round(after, 3),
        "peak_gigabytes_before": round(before, 3),
        "result": ArrayImageSet(poisoned.images, image_set.labels, class_names=image_set.class_names).content_hash,
        **achieved_norms(image_set.array(), poisoned.images),
    }


def peak_gigabytes() -> float:
    """Most memory that this process has held so far."""
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1024**3


def table(found: dict) -> str:
    lines = [
        "| attack | seconds | images/s | peak memory, GB | of it pictures and libraries | L2, mean | largest, /255 |",
        "|---|---|---|---|---|---|---|",
    ]
    for attack, entry in found["attacks"].items():
        lines.append(
            f"| {attack} | {entry['seconds']} | {entry['images_per_second']:,} | {entry['peak_gigabytes']:.2f} "
            f"| {entry['peak_gigabytes_before']:.2f} | {entry['l2_mean']:.3f} | {entry['linf_255']} |"
        )
    height, width = found["height_width"]
    note = (
        f"{found['data']['images']:,} pictures of {width}x{height} ({found['data']['name']}), {found['classes']} "
        f"classes; the papers' settings; each attack once, in a process of its own. {found['device']}, "
        f"{found['cores']} cores."
    )
    return "\n".join([*lines, "", note]) + "\n"


if __name__ == "__main__":
    main()
