"""Whether duplicates, collisions of features and energies know poisoned pictures from clean ones of their class.

    python benchmarks/audit.py poison CIFAR TINY --out runs/audit      # hours; makes lsp, em, tap and narcissus
    python benchmarks/audit_pictures.py CIFAR TINY runs/audit --out results/audit      # 20 minutes

The second makes the poisons aimed at one picture itself, in the same folder, if they are not there yet.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import unpoison
from unpoison.auditing.evidence import duplicates, early, energies, readability
from unpoison.auditing.textures import texture_features
from unpoison.auditing.views import View, make_view
from unpoison.core.device import describe_device, same_bits, versions
from unpoison.core.files import write_json, write_text
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.data import read
from unpoison.poisons.crafting import write_poisoned
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.run import PurifyRun

sys.path.insert(0, str(Path(__file__).parent))
from clean_sets import clean_sets

WHOLE = ("lsp", "em", "tap")  # poison every picture; a share of them is put among clean ones
SHARE = 0.25
AIMED = ("gradient-matching", "bullseye")
HELD_OUT = 10  # every tenth picture of a class is none to train on: one of them is to be misread
PASSES = 8
NEIGHBOURS = 10
BATCH = 50
COLUMNS = {
    "duplicates": "near-duplicates",
    "collisions": "collisions, network",
    "collisions unseen": "collisions, network that has not seen them",
    "collisions of noise": "collisions, texture of the noise",
    "energies": "energies",
    "residual-textures": "residual textures",
}
NOTE = f"""Each cell: in how many of 100 cases a poisoned picture scores higher than a clean one of its class in the
same set; 50 tells nothing, and below 50 clean ones score higher. Near-duplicates: how near the nearest other picture
is, if it is nearly the same. Collisions: share of the {NEIGHBOURS} nearest in some features that have another class
than the picture, less the same share of the nearest in 8x8 pixels; features of a small network that has learned the
classes of the set in {PASSES} passes, or those of the other half of the set only, or the texture of what the denoiser
removes. Energies: what that adds to the energy of a picture under ebm-small. Residual textures: the evidence of that
name in the audit, for comparison. Poisons of every picture are put on a quarter of a clean set. As they came, the
clean pictures of CIFAR-10 have been through JPEG and the poisons have not; JPEG 90: all of them have been.
Tiny-ImageNet is shrunk to 32x32, which leaves hardly a trace of JPEG. One set for each line: differences of a few
points mean nothing where 25 pictures are poisoned."""


@click.command()
@click.argument("cifar", type=click.Path(exists=True))
@click.argument("tiny", type=click.Path(exists=True))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for pictures.json and pictures.md.")
def main(cifar: str, tiny: str, folder: Path, out: Path) -> None:
    """Score the pictures of poisoned sets in FOLDER."""
    torch.set_num_threads(1)
    rows = []
    for base, attack, images, poisoned in poisoned_sets(cifar, tiny, folder):
        for history, shown in (("as they came", images), ("JPEG 90", through_jpeg(images))):
            click.echo(f"{base}, {attack}, {history}")
            with same_bits(torch.device("cpu")):
                scores = score_pictures(make_view(shown, device="cpu"))
            areas = {name: area_by_class(one, shown.labels, poisoned) for name, one in scores.items()}
            rows.append(
                {
                    "base": base,
                    "attack": attack,
                    "history": history,
                    "set": shown.content_hash,
                    "images": len(shown),
                    "poisoned": int(poisoned.sum()),
                    "areas": areas,
                }
            )
    device = describe_device(torch.device("cpu"))
    write_json(out / "pictures.json", {"sets": rows, "versions": versions(), "device": device})
    write_text(out / "pictures.md", f"{table(rows)}\n\n{' '.join(NOTE.split())} Device: {device}.\n")
    click.echo((out / "pictures.md").read_text(encoding="utf-8"))


def poisoned_sets(cifar: str, tiny: str, folder: Path) -> Iterator[tuple[str, str, ArrayImageSet, np.ndarray]]:
    """Base, attack, the set, and which of its pictures are poisoned."""
    made = clean_sets(cifar, tiny)
    for base in ("cifar", "tiny"):
        clean = made[base]()
        rank = np.argsort(np.argsort(clean.labels, kind="stable"))  # every class has its share of both
        held = rank % HELD_OUT == HELD_OUT - 1
        known, targets = clean.subset(np.flatnonzero(~held)), clean.subset(np.flatnonzero(held))
        for attack in AIMED:
            path = folder / f"{base} {attack}.npz"
            if not path.exists():
                craft(attack, known, targets, path)
            yield base, attack, *mixed(known, read(path).array(), 1.0)
        for attack in ("narcissus", *WHOLE):
            poisoned = read(folder / f"{base} {attack}.npz").array()
            yield base, attack, *mixed(clean, poisoned, SHARE if attack in WHOLE else 1.0)


def craft(attack: str, clean: ImageSet, targets: ImageSet, path: Path) -> None:
    """Poison a set so that one of the targets is misread."""
    click.echo(f"making {path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    made = unpoison.poison(clean, attack, seed=1, profile="small", target_set=targets)
    write_poisoned(made, clean, path)


def mixed(clean: ImageSet, poisoned: np.ndarray, share: float) -> tuple[ArrayImageSet, np.ndarray]:
    """A share of the poisoned pictures among clean ones, and which they are."""
    images = clean.array()
    chosen = np.random.default_rng(0).random(len(images)) < share
    changed = chosen & (images != poisoned).any(axis=(1, 2, 3))
    images = np.where(changed[:, None, None, None], poisoned, images)
    return ArrayImageSet(images, clean.labels, class_names=clean.class_names), changed


def through_jpeg(image_set: ArrayImageSet) -> ArrayImageSet:
    """All pictures through JPEG of quality 90."""
    run = PurifyRun(purifier_settings("jpeg", overrides={"quality": 90}))
    return purify_in_memory(image_set, run, device="cpu")[0]


def score_pictures(view: View) -> dict[str, np.ndarray]:
    """[N] a score for each picture, by the names of `COLUMNS`; higher should be poisoned."""
    labels = torch.from_numpy(view.labels).long()
    pixels = view.pixels(slice(None)).sub_(0.5)
    small = F.adaptive_avg_pool2d(pixels, 8).flatten(1)
    natural = strangers(small - small.mean(dim=1, keepdim=True), labels)
    half = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0)) % 2 == 0
    unseen = torch.empty(len(labels))
    for part in (half, ~half):
        unseen[part] = strangers(learned(pixels, labels, ~part)[part], labels[part])
    found = {
        "collisions": strangers(learned(pixels, labels, torch.ones_like(half)), labels) - natural,
        "collisions unseen": unseen - natural,
        "collisions of noise": strangers(texture_features(view.removed, len(view)), labels) - natural,
    }
    measured = {
        "duplicates": duplicates.measure(view),
        "energies": energies.measure(view),
        "residual-textures": readability.measure_residual_textures(view),
    }
    scores = {name: one.numpy() for name, one in found.items()}
    scores.update({name: one.images for name, one in measured.items() if one.images is not None})
    return scores


def strangers(features: Tensor, labels: Tensor) -> Tensor:
    """[N] share of the nearest of each picture, by angle, that have another class."""
    features = F.normalize(features - features.mean(dim=0))
    alike = (features @ features.T).fill_diagonal_(-1)
    others = labels[alike.topk(NEIGHBOURS, dim=1).indices] != labels[:, None]
    return others.float().mean(dim=1)


def learned(pixels: Tensor, labels: Tensor, seen: Tensor) -> Tensor:
    """[N, D] features of every picture in the network of `early`, which learned the classes of those that are seen."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = early._network(int(labels.max()) + 1)  # the same as in the audit
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3)
    draws, rows = torch.Generator().manual_seed(0), seen.nonzero()[:, 0]
    for _ in range(PASSES):
        for batch in rows[torch.randperm(len(rows), generator=draws)].split(BATCH):
            mirrored = torch.rand(len(batch), 1, 1, 1, generator=draws) < 0.5
            shown = torch.where(mirrored, pixels[batch].flip(3), pixels[batch])
            loss = F.cross_entropy(network(shown), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    body = network[:-1].eval()  # type: ignore[index]  # a sequence of layers; the last names the class
    with torch.inference_mode():
        return torch.cat([body(some) for some in pixels.split(250)])


def area_by_class(scores: np.ndarray, labels: np.ndarray, poisoned: np.ndarray) -> float:
    """Chance that a poisoned picture scores higher than a clean one of its class; ties count half."""
    chances = []
    for label in np.unique(labels[poisoned]):
        high = scores[(labels == label) & poisoned]
        low = np.sort(scores[(labels == label) & ~poisoned])
        below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
        chances.append(below / (2 * len(low)))
    return float(np.concatenate(chances).mean())


def table(rows: list[dict[str, Any]]) -> str:
    """A line for each set."""
    head = ["pictures", "attack", "poisoned", "history", *COLUMNS.values()]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        about = [row["base"], row["attack"], f"{row['poisoned']:,} of {row['images']:,}", row["history"]]
        lines.append([*about, *(f"{100 * row['areas'][name]:.0f}" for name in COLUMNS)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
