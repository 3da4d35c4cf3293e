"""How well the audit tells poisoned sets from clean ones.

    python benchmarks/audit.py poison CIFAR TINY --out runs/audit        # hours; goes on if stopped
    python benchmarks/audit.py measure CIFAR TINY runs/audit --out results/audit/sets [--part 1/2]   # 20 seconds a set
    python benchmarks/audit.py fit results/audit/sets
    python benchmarks/audit.py table results/audit/sets --out results/audit
    python benchmarks/audit.py sizes CIFAR TINY --out results/audit    # minutes, with nothing else running

The first poisons 2,500 pictures of CIFAR-10 (JPEG) and 2,000 of 20 classes of Tiny-ImageNet, shrunk to 32x32, with
every attack, with the profile `small` where an attack trains a surrogate. The second measures the evidence in them,
whole and with a share of every class poisoned and the rest clean, and in clean sets of many kinds, as they are and
through JPEG, resizing, noise, in grey and with wrong labels. A share is cut out of a set that was poisoned whole.
"""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import matplotlib
import numpy as np
import torch
from PIL import Image

import unpoison
from unpoison.auditing.audit import audit_set, gather, measured, suspicion
from unpoison.auditing.expectations import Expectation, Measured, fit_expectations, to_store
from unpoison.auditing.verdict import THRESHOLD, Finding, findings_of, judge
from unpoison.auditing.views import load_views, make_view
from unpoison.core.device import describe_device, same_bits, versions
from unpoison.core.documents import read_json
from unpoison.core.files import write_json, write_text
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.data import read
from unpoison.poisons.crafting import write_poisoned
from unpoison.poisons.protocol import Resources

matplotlib.use("Agg")
from matplotlib import pyplot as plt

sys.path.insert(0, str(Path(__file__).parent))
from clean_sets import clean_sets

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
    "pil": {},
    "dune": {"profile": "small"},
}
DIGITS = ("lsp", "ar", "ops", "urp")  # that are fast, on a set that is easy by nature
BASES = ("cifar", "tiny", "digits")
SHARES = (1, 0.5, 0.1, 0.01)
HISTORIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "JPEG 80": lambda images: _jpeg(images, 80),
    "JPEG 40": lambda images: _jpeg(images, 40),
    "JPEG 20": lambda images: _jpeg(images, 20),
    "resized": lambda images: _resized(images, images.shape[1] * 3 // 4),
    "noise 4/255": lambda images: (images + np.random.default_rng(0).normal(0, 4, images.shape)).clip(0, 255).round(),
    "grey": lambda images: np.repeat((images @ np.array([0.299, 0.587, 0.114])).round()[..., None], 3, axis=3),
    "wrong labels": lambda images: images,
}
SMALL = ("cifar-1000", "cifar-500", "tiny-500", "tiny-1000", "digits-300", "letters-520")  # as they are, for their size
WRONG = 0.02  # of the labels


NOTE = """Every poison is one that the audit has never seen: only clean sets were fitted. A set, clean or poisoned, is
judged by clean sets of other sources than its own (all of Tiny-ImageNet is one). Seen: looks poisoned, at the threshold
of the package. Known: the same by the package as it is, which has fitted clean sets of the source as well. Area, sets:
chance that a poisoned set surprises more than a clean one. Area, images: chance that a poisoned picture of the set is
more suspicious than a clean one of it."""


@click.group()
def main() -> None:
    """Measure the audit."""


@main.command()
@click.argument("cifar", type=click.Path(exists=True))
@click.argument("tiny", type=click.Path(exists=True))
@click.option("--out", type=click.Path(path_type=Path), required=True)
def poison(cifar: str, tiny: str, out: Path) -> None:
    """Poison the bases with every attack."""
    sets = clean_sets(cifar, tiny)
    auxiliary = {"cifar": sets["tiny-others"](), "tiny": read(f"{cifar}[40000:41500]"), "digits": None}
    for base in BASES:
        clean = sets[base]()
        for attack, about in ATTACKS.items():
            target = out / f"{base} {attack}.npz"
            if target.exists() or (base == "digits" and attack not in DIGITS):
                continue
            click.echo(f"{base}: {attack}")
            resources = Resources(auxiliary=auxiliary[base])
            made = unpoison.poison(clean, attack.split()[0], seed=1, resources=resources, **about)
            out.mkdir(parents=True, exist_ok=True)
            write_poisoned(made, clean, target)


@main.command()
@click.argument("cifar", type=click.Path(exists=True))
@click.argument("tiny", type=click.Path(exists=True))
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--part", default="1/1", help="Which of how many processes this is.")
def measure(cifar: str, tiny: str, folder: Path, out: Path, part: str) -> None:
    """Write a record of the evidence in each set."""
    torch.set_num_threads(1)
    number, parts = (int(value) for value in part.split("/"))
    for place, (name, about, make) in enumerate(_sets(clean_sets(cifar, tiny), folder)):
        record = out / f"{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}.json"
        if record.exists() or place % parts != number - 1:
            continue
        click.echo(name)
        with same_bits(torch.device("cpu")):
            write_json(record, {"name": name, **about, **_facts(*make())})


@main.command()
@click.argument("records", type=click.Path(path_type=Path, exists=True))
def fit(records: Path) -> None:
    """Fit what clean sets show, and put it into the package."""
    clean = [record for record in _read_records(records) if "attack" not in record]
    sets = [view for record in clean for view in _views(record)]
    others = _without(clean)
    surprises = [_strongest(record, others[_source(record)]).surprise for record in clean]
    target = Path(unpoison.__file__).parent / "auditing" / "expectations.json"
    write_json(target, to_store(fit_expectations(sets), surprises))
    click.echo(f"{len(sets)} views of {len(others)} sources -> {target}")


@main.command()
@click.argument("records", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), required=True)
def table(records: Path, out: Path) -> None:
    """Judge every set by what clean sets of other sources show, and write tables and a plot."""
    found = _read_records(records)
    others = _without(found)
    judged = []
    for record in found:
        first = _strongest(record, others[_source(record)])
        seen, known = (one.surprise > THRESHOLD for one in (first, _strongest(record)))
        judged.append({**record, "surprise": first.surprise, "sign": first.sign, "seen": seen, "known": known})
    poisoned = [one for one in judged if "attack" in one]
    write_text(out / "table.md", _tables([one for one in judged if "attack" not in one], poisoned))
    _plot(poisoned, out / "shares.svg")
    click.echo((out / "table.md").read_text())


@main.command()
@click.argument("cifar", type=click.Path(exists=True))
@click.argument("tiny", type=click.Path(exists=True))
@click.option("--out", type=click.Path(path_type=Path), required=True)
def sizes(cifar: str, tiny: str, out: Path) -> None:
    """Time the audit of 50,000 pictures, and audit a folder of photographs of 224 pixels; alone on the machine."""
    found = [_timed(read(cifar), "50,000 pictures of 32x32, clean", "")]
    with TemporaryDirectory() as name:
        folder = Path(name)
        _photographs(tiny, folder / "clean")
        found.append(_timed(read(folder / "clean"), "1,000 photographs of 224x224 in 20 classes, clean", ""))
        for attack in ("lsp", "urp"):
            made = unpoison.poison(read(folder / "clean"), attack, seed=1).image_set
            found.append(_timed(made, f"the same, {attack}", attack))
    device = describe_device(torch.device("cpu"))
    write_json(out / "sizes.json", {"sets": found, "versions": versions(), "device": device})
    lines = ["| set | answer | surprise | by | seconds |", "| --- | --- | --- | --- | --- |"]
    for one in found:
        by = f"{one['view']}, {one['sign']}"
        lines.append(f"| {one['name']} | {one['answer']} | {one['surprise']:.1f} | {by} | {one['seconds']:.0f} |")
    text = "\n".join([*lines, "", f"Without advice. {device}.", ""])
    write_text(out / "sizes.md", text)
    click.echo(text)


def _timed(image_set: ImageSet, name: str, attack: str) -> dict[str, Any]:
    start = time.perf_counter()
    verdict = audit_set(image_set).verdict
    first = verdict.findings[0]
    return {
        "name": name,
        "attack": attack,
        "images": len(image_set),
        "data": image_set.content_hash,
        "answer": verdict.answer,
        "surprise": first.surprise,
        "view": first.view,
        "sign": first.sign,
        "seconds": time.perf_counter() - start,
    }


def _photographs(tiny: str, folder: Path) -> None:
    """1,000 pictures of 20 classes of Tiny-ImageNet, enlarged to 224x224 and stored as JPEG."""
    pictures = read(tiny)
    rows = np.random.default_rng(0).permutation(np.flatnonzero(pictures.labels < 20))[:1000]
    for row in np.sort(rows):
        target = folder / pictures.class_names[pictures.labels[row]]
        target.mkdir(parents=True, exist_ok=True)
        large = Image.fromarray(pictures.pixels(int(row))).resize((224, 224), Image.Resampling.LANCZOS)
        large.save(target / f"{row:05d}.jpg", quality=92)


def _without(records: list[dict[str, Any]]) -> dict[str, dict[str, Expectation]]:
    """What the clean sets of all other sources show, by source."""
    clean = [record for record in records if "attack" not in record]
    sources = {_source(record) for record in records}
    return {
        source: fit_expectations([view for record in clean if _source(record) != source for view in _views(record)])
        for source in sources
    }


def _strongest(record: dict[str, Any], known: Mapping[str, Expectation] | None = None) -> Finding:
    """The most surprising finding of a set in any view."""
    found = [finding for view in _views(record) for finding in findings_of("", view, known)]
    return max(found, key=lambda finding: finding.surprise)


def _tables(clean: list[dict[str, Any]], poisoned: list[dict[str, Any]]) -> str:
    alarms = sum(one["seen"] for one in clean)
    lines = [
        f"{len(clean)} clean and {len(poisoned)} poisoned sets. False alarms: {alarms} of {len(clean)}. "
        + " ".join(NOTE.split()),
        "",
        "| attack | share | seen | known | area, sets | surprise | by | area, images |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    quiet = np.array([one["surprise"] for one in clean])
    for attack, share in product(ATTACKS, SHARES):
        found = [one for one in poisoned if (one["attack"], one["share"]) == (attack, share)]
        if not found:
            continue
        loud = np.array([one["surprise"] for one in found])
        area = _area(np.append(quiet, loud), np.append(np.zeros(len(quiet), bool), np.ones(len(loud), bool)))
        areas = [one["area under the curve of images"] for one in found]
        images = [area["suspicion"] for area in areas if "suspicion" in area]
        cells = [
            attack,
            f"{share:.0%}",
            f"{sum(one['seen'] for one in found)} of {len(found)}",
            f"{sum(one['known'] for one in found)} of {len(found)}",
            f"{area:.2f}",
            ", ".join(f"{one['source']} {one['surprise']:.1f}" for one in found),
            ", ".join(dict.fromkeys(one["sign"] for one in found)),
            f"{np.mean(images):.2f}" if images else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| clean set | surprise | by |", "| --- | --- | --- |"]
    order = sorted(clean, key=lambda one: -one["surprise"])
    lines += [f"| {one['name']} | {one['surprise']:.1f} | {one['sign']} |" for one in order]
    return "\n".join(lines) + "\n"


def _plot(poisoned: list[dict[str, Any]], target: Path) -> None:
    """Surprise of each attack at each share."""
    figure, panels = plt.subplots(4, 4, figsize=(13, 11), sharex=True, sharey=True)
    for attack, panel in zip(ATTACKS, panels.flat, strict=False):
        for base in BASES:
            found = sorted(
                (one["share"], one["surprise"]) for one in poisoned if (one["attack"], one["source"]) == (attack, base)
            )
            panel.plot([share for share, _ in found], [max(surprise, 0.5) for _, surprise in found], "o-", label=base)
        panel.axhline(THRESHOLD, color="black", linewidth=0.8, linestyle="--")
        panel.set(xscale="log", yscale="log", title=attack)
    panels[0, 0].legend()
    figure.supxlabel("share of the pictures that is poisoned (Narcissus: of 25 in 2,500)")
    figure.supylabel("surprise; above the line a set looks poisoned")
    figure.tight_layout()
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target)
    plt.close(figure)


def _read_records(folder: Path) -> list[dict[str, Any]]:
    return [read_json(path) for path in sorted(folder.glob("*.json"))]


def _views(record: dict[str, Any]) -> list[Measured]:
    return [Measured(values, record["images"], record["classes"]) for values in record["values"].values()]


def _source(record: dict[str, Any]) -> str:
    """What a clean set was made from: parts of one data set are one source."""
    source = str(record["source"]).partition("-")[0]
    return {"crops": "tiny", "tiny64": "tiny"}.get(source, source)


def _facts(image_set: ImageSet, poisoned: np.ndarray) -> dict[str, Any]:
    """What the record of a set says; `poisoned` says which pictures are."""
    evidence, shown = {}, {}
    for cut, images in load_views(image_set).items():
        view = make_view(_with(image_set, images))
        evidence[cut] = gather(view)
        shown[cut] = measured(evidence[cut], view)
    areas = {}
    if 0 < poisoned.sum() < len(poisoned):
        verdict = judge(shown, images=len(image_set), classes=len(image_set.class_names))
        areas = {
            kind: _area(found.images, poisoned)
            for kind, found in evidence["detail"].items()
            if found.images is not None
        }
        areas["suspicion"] = _area(suspicion(evidence, verdict), poisoned)
    return {
        "images": len(image_set),
        "classes": len(image_set.class_names),
        "poisoned": int(poisoned.sum()),
        "data": image_set.content_hash,
        "values": {cut: one.values for cut, one in shown.items()},
        "area under the curve of images": areas,
        "versions": versions(),
        "device": describe_device(torch.device("cpu")),
    }


Made = tuple[ImageSet, np.ndarray]


Named = tuple[str, dict[str, Any], Callable[[], Made]]


def _sets(clean: Mapping[str, Callable[[], ImageSet]], folder: Path) -> Iterator[Named]:
    """Name, what it is, and a function that makes the set and says which of its pictures are poisoned."""
    for source in clean:
        yield source, {"source": source, "history": ""}, partial(_make_clean, clean[source], "")
    for share in SHARES[:1]:
        yield from _poisoned(clean, folder, share)
    for place, source in enumerate(source for source in clean if source not in SMALL):
        for history in list(HISTORIES)[(place + 1) % 2 :: 2]:  # half of them, for time
            if source != "cifar-10000":
                about = {"source": source, "history": history}
                yield f"{source}, {history}", about, partial(_make_clean, clean[source], history)
    for share in SHARES[1:]:
        yield from _poisoned(clean, folder, share)


def _poisoned(clean: Mapping[str, Callable[[], ImageSet]], folder: Path, share: float) -> Iterator[Named]:
    for base, attack in product(BASES, ATTACKS):
        path = folder / f"{base} {attack}.npz"
        if path.exists():
            about = {"source": base, "attack": attack, "share": share}
            yield f"{base}, {attack} {share:.0%}", about, partial(_make_mixed, clean[base], path, share)


def _make_clean(make: Callable[[], ImageSet], history: str) -> Made:
    return _clean(make(), history)


def _make_mixed(make: Callable[[], ImageSet], path: Path, share: float) -> Made:
    return _mixed(make(), read(path).array(), share)


def _clean(image_set: ImageSet, history: str) -> Made:
    none = np.zeros(len(image_set), bool)
    if not history:
        return image_set, none
    images, labels = HISTORIES[history](image_set.array()).astype(np.uint8), image_set.labels
    if history == "wrong labels":
        generator = np.random.default_rng(0)
        wrong = generator.random(len(labels)) < WRONG
        labels = np.where(wrong, generator.integers(0, len(image_set.class_names), len(labels)), labels)
    return ArrayImageSet(images, labels, class_names=image_set.class_names), none


def _mixed(clean: ImageSet, poisoned: np.ndarray, share: float) -> Made:
    images = clean.array()
    shown = np.where(_share(clean.labels, share)[:, None, None, None], poisoned, images)
    return _with(clean, shown), (shown != images).any(axis=(1, 2, 3))


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
