"""The cost of each defence at train time: processor seconds of a picture and epoch, beside no defence.

    python benchmarks/defences.py "cifar.npz[:1000]" results/defences/cost.json

One thread, a narrow ResNet-18 in fp32, three epochs. `friendly-noise` searches in the first of them, `ueraser` takes
the worst of its draws there, and `epic` looks from the second on. Processor time, not time on the clock, as other
programs may run beside it.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path
from typing import Any

import click
import machine
import torch

from unpoison.classify.defences.methods import METHODS
from unpoison.classify.settings import scratch_settings
from unpoison.classify.training import train
from unpoison.core.files import write_json
from unpoison.data import read

FIELDS = {
    "epic": {"epic.warm_up": 1, "epic.every": 1},
    "friendly-noise": {"friendly-noise.warm_up": 0},
}
EPOCHS = 3


def measure(source: str) -> dict[str, Any]:
    """Milliseconds of a picture, by defence and epoch."""
    torch.set_num_threads(1)
    image_set = read(source)
    few = image_set.subset(range(min(len(image_set), 50)))
    costs = {}
    for name in ("", *METHODS):
        marks = []
        fields = {"epochs": EPOCHS, "width": 16, "precision": "fp32", "defence": name, **FIELDS.get(name, {})}

        def mark(*_: Any) -> None:
            marks.append(time.process_time())  # noqa: B023

        settings = scratch_settings(profiles=["fast"], overrides=fields)
        started = time.process_time()
        train(image_set, test_set=few, settings=settings, device="cpu", on_epoch=mark)
        ends = [started, *marks]
        spent = [1000 * (end - start) / len(image_set) for start, end in itertools.pairwise(ends)]
        costs[name or "none"] = [round(each, 3) for each in spent]
        click.echo(f"{name or 'none'}: {costs[name or 'none']}")
    return {
        "images": len(image_set),
        "size": image_set.sizes[0].tolist(),
        "network": "resnet18 of width 16",
        "ms_a_picture_by_epoch": costs,
        **machine.describe(torch.device("cpu")),
    }


if __name__ == "__main__":
    write_json(Path(sys.argv[2]), measure(sys.argv[1]))
