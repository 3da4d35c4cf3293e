"""What each kind of evidence says of clean and of poisoned sets, before anything judges them.

    python benchmarks/audit_evidence.py sets CIFAR_PARQUET TINY_PARQUET --out runs/audit    # hours; goes on if stopped
    python benchmarks/audit_evidence.py measure runs/audit --out results/audit-evidence     # 20 seconds a set

The first makes 2,500 pictures of CIFAR-10 (JPEG) and 2,000 of 20 classes of Tiny-ImageNet, shrunk to 32x32, and
poisons each with every attack, with the profile `small` where an attack trains a surrogate. The second measures them:
clean ones as they are and through JPEG, resizing, noise and in grey; poisoned ones whole, and with a share of every
class poisoned and the rest clean. A share is cut out of a set that was poisoned whole.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from PIL import Image

import unpoison
from unpoison.auditing.evidence.methods import METHODS as EVIDENCE
from unpoison.auditing.views import make_view, shrunk
from unpoison.core.device import describe_device, same_bits, versions
from unpoison.core.documents import read_json
from unpoison.core.files import write_json, write_text
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.core.methods import load_method
from unpoison.data import read, write
from unpoison.poisons.crafting import write_poisoned
from unpoison.poisons.protocol import Resources

ATTACKS = {
    "lsp": {},
    "ar": {},
    "ops": {},
    "cuda": {},
    "urp": {},
    "tap": {"profile": "small"},
    "em": {"profile": "small"},
    "em class-wise": {"profile": "small,class-wise"},
    "hypo": {"profile": "small"},
    "sep": {"profile": "small"},
    "narcissus": {"profile": "small", "images": 25},
    "entf": {"profile": "small"},
    "rem": {"profile": "small"},
    "adp": {"profile": "small"},
}
SHARES = (1, 0.1)
CLEAN_ALIKE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "": lambda images: images,
    "JPEG 80": lambda images: _jpeg(images, 80),
    "JPEG 40": lambda images: _jpeg(images, 40),
    "JPEG 20": lambda images: _jpeg(images, 20),
    "resized": lambda images: _resized(images, 24),
    "noise 4/255": lambda images: (images + np.random.default_rng(0).normal(0, 4, images.shape)).clip(0, 255).round(),
    "grey": lambda images: np.repeat((images @ np.array([0.299, 0.587, 0.114])).round()[..., None], 3, axis=3),
}
COLUMNS = {
    "residuals.advantage": "residuals",
    "residual-textures.advantage": "their texture",
    "images.advantage": "pictures",
    "textures.advantage": "their texture ",
    "coarse.side_4": "4x4 pixels",
    "class-means.coherence": "coherence",
    "pixels.pixel": "one pixel",
    "repeats.repeat_max": "repeats",
    "autoregression.advantage": "autoregression",
}
NOTE = """
Read from residuals, textures, pictures, 4x4 pixels and autoregression: how much better than chance an out-of-fold
probe names the class, 1 is always. Residuals are what one call of the denoiser at 26/255 takes from a picture.
Coherence: how alike the mean residuals of two halves of a class are. One pixel: the most surprising pure colour at one
place of a class, in standard deviations. Repeats: the largest likeness of a picture's whitened residual to five others
of its class. Nothing here judges a set yet. One set a line.
"""


@click.group()
def main() -> None:
    """Measure the evidence of the audit."""


@main.command()
@click.argument("cifar", type=click.Path(exists=True))
@click.argument("tiny", type=click.Path(exists=True))
@click.option("--out", type=click.Path(path_type=Path), required=True)
def sets(cifar: str, tiny: str, out: Path) -> None:
    """Make the clean and the poisoned sets."""
    bases = {"cifar": read(f"{cifar}[:2500]"), "tiny": _shrink(read(tiny), 0, 20)}
    others = {"cifar": _shrink(read(tiny), 100, 120), "tiny": read(f"{cifar}[40000:41500]")}
    for base, clean in bases.items():
        _keep(clean, out / f"{base}.npz")
        for attack, about in ATTACKS.items():
            target = out / f"{base} {attack}.npz"
            if not target.exists():
                click.echo(f"{base}: {attack}")
                resources = Resources(auxiliary=others[base])
                made = unpoison.poison(clean, attack.split()[0], seed=1, resources=resources, **about)
                write_poisoned(made, clean, target)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), required=True)
def measure(folder: Path, out: Path) -> None:
    """Measure every set, and write a record of each and a table."""
    for name, image_set, poisoned in _sets_in(folder):
        record = out / f"{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}.json"
        if record.exists():
            continue
        click.echo(name)
        with same_bits(torch.device("cpu")):
            write_json(record, {"name": name, **_facts(image_set, poisoned)})
    write_text(out / "table.md", _table(out))
    click.echo((out / "table.md").read_text())


def _facts(image_set: ImageSet, poisoned: np.ndarray) -> dict[str, Any]:
    """The record of a set; `poisoned` says which pictures are."""
    view = make_view(image_set, image_set.array())
    evidence = {kind: load_method(EVIDENCE, kind, kind="evidence")(view) for kind in EVIDENCE}
    told_apart = {
        kind: _area(found.images, poisoned)
        for kind, found in evidence.items()
        if found.images is not None and 0 < poisoned.sum() < len(poisoned)
    }
    return {
        "images": len(view),
        "classes": view.classes,
        "poisoned": int(poisoned.sum()),
        "data": image_set.content_hash,
        "values": {f"{kind}.{name}": value for kind, found in evidence.items() for name, value in found.values.items()},
        "area under the curve of images": told_apart,
        "versions": versions(),
        "device": describe_device(torch.device("cpu")),
    }


def _sets_in(folder: Path) -> Iterator[tuple[str, ImageSet, np.ndarray]]:
    """Name, set, and which pictures are poisoned."""
    for base in ("cifar", "tiny"):
        clean = read(folder / f"{base}.npz")
        none = np.zeros(len(clean), bool)
        for how, change in CLEAN_ALIKE.items():
            yield f"{base}{how and f', {how}'}", _with(clean, change(clean.array()).astype(np.uint8)), none
        for attack in ATTACKS:
            if not (folder / f"{base} {attack}.npz").exists():
                continue
            images = read(folder / f"{base} {attack}.npz").array()
            for share in SHARES:
                kept = _share(clean.labels, share)[:, None, None, None]
                shown = np.where(kept, images, clean.array())
                yield f"{base}, {attack} {share:.0%}", _with(clean, shown), (shown != clean.array()).any(axis=(1, 2, 3))


def _table(out: Path) -> str:
    records = sorted(
        (read_json(path) for path in out.glob("*.json")), key=lambda record: (record["poisoned"] > 0, record["name"])
    )
    lines = [["set", "poisoned", *COLUMNS.values()], ["---"] * (2 + len(COLUMNS))]
    for record in records:
        poisoned = f"{record['poisoned']} of {record['images']}"
        lines.append([record["name"], poisoned, *(f"{record['values'][column]:.2f}" for column in COLUMNS)])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{' '.join(NOTE.split())} Device: {records[0]['device']}.\n"


def _area(scores: np.ndarray, wanted: np.ndarray) -> float:
    """Chance that a poisoned picture scores higher than a clean one."""
    order = np.argsort(np.argsort(scores, kind="stable"), kind="stable")
    positive = int(wanted.sum())
    return float((order[wanted].sum() - positive * (positive - 1) / 2) / (positive * (len(scores) - positive)))


def _share(labels: np.ndarray, share: float) -> np.ndarray:
    """[N] bool: this share of every class."""
    kept, generator = np.zeros(len(labels), bool), np.random.default_rng(7)
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        kept[rows[: max(1, round(share * len(rows)))]] = True
    return kept


def _shrink(image_set: ImageSet, first: int, last: int) -> ArrayImageSet:
    """The pictures of some classes at 32x32."""
    rows = np.flatnonzero((image_set.labels >= first) & (image_set.labels < last))
    images = np.stack([shrunk(image_set.pixels(int(row))) for row in rows])
    return ArrayImageSet(images, image_set.labels[rows] - first, class_names=image_set.class_names[first:last])


def _keep(image_set: ImageSet, target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        write(image_set, target)


def _with(image_set: ImageSet, images: np.ndarray) -> ArrayImageSet:
    return ArrayImageSet(images, image_set.labels, class_names=image_set.class_names, ids=image_set.ids)


def _jpeg(images: np.ndarray, quality: int) -> np.ndarray:
    pictures = []
    for picture in images:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
        pictures.append(np.asarray(Image.open(buffer)))
    return np.stack(pictures)


def _resized(images: np.ndarray, side: int) -> np.ndarray:
    """Shrunk, and enlarged again."""
    shown = [Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC) for picture in images]
    return np.stack([np.asarray(picture.resize(images.shape[1:3], Image.Resampling.BICUBIC)) for picture in shown])


if __name__ == "__main__":
    main()
