"""Whether what `--method auto` chooses is as good as the best of what it chooses from, and free on clean sets.

    python benchmarks/advice.py measure SETS... --test CLEAN --out results/advice [--seeds 3]
    python benchmarks/advice.py choose SETS... --out results/advice [--reference TRUSTED]
    python benchmarks/advice.py table results/advice

The first writes a record a set: the accuracy on the test set of a small classifier that was trained on the set as it
is, and on what every candidate leaves of it: six minutes of a core for 2,500 pictures. It goes on if stopped. The
second adds what is chosen, alone and with trusted pictures. All sets of a call have the classes of the test set.

The sets of results/advice are `CIFAR_PARQUET[:2500]` and the same poisoned, with `--profile small` where that trains
networks; [45000:47000] are the test set, [47000:48000] the trusted pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from unpoison.auditing.advice import advise
from unpoison.auditing.audit import Audit, audit_set
from unpoison.auditing.candidates import CANDIDATES, Candidate
from unpoison.classify.training import train
from unpoison.core.device import choose_device, describe_device, versions
from unpoison.core.documents import read_json
from unpoison.core.files import write_json, write_text
from unpoison.core.images import ImageSet
from unpoison.data import read
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.run import PurifyRun
from unpoison.scoring.accuracy import score

# The least spread between seeds for half a minute of one core on 2,500 pictures: 0.8 points on clean ones.
TRAINING: dict[str, Any] = {
    "model": "hlb-s",
    "width": 16,
    "epochs": 12,
    "test_every": 12,
    "profile": "puregen-hlb-small",
}
NONE = "none"


@click.group()
def main() -> None:
    """Measure the advice."""


OUT = click.option("--out", type=click.Path(path_type=Path), required=True)


@main.command()
@click.argument("sets", nargs=-1, required=True)
@click.option("--test", required=True, help="Clean pictures of the same classes; no candidate is chosen by them.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Trainings a cell.")
@OUT
def measure(sets: tuple[str, ...], test: str, seeds: int, out: Path) -> None:
    """Write a record for each set."""
    measure_sets(sets, test, out, CANDIDATES, seeds)


def measure_sets(sets: Sequence[str], test: str, out: Path, candidates: Sequence[Candidate], seeds: int) -> None:
    """Write for each set the accuracies of trainings on it, and on what every candidate leaves of it."""
    test_set = read(test)
    for source in sets:
        record = _record(source, out)
        if record.exists():
            continue
        image_set = read(source)
        click.echo(image_set.name)
        about = {"name": Path(source).stem, "data": image_set.content_hash, "test": test_set.content_hash}
        accuracy = accuracies(image_set, test_set, candidates, seeds)
        where = describe_device(choose_device())
        write_json(
            record, {**about, "accuracy": accuracy, "training": TRAINING, "versions": versions(), "device": where}
        )


@main.command()
@click.argument("sets", nargs=-1, required=True)
@click.option("--reference", help="Trusted pictures of the same classes, by which to choose as well.")
@OUT
def choose(sets: tuple[str, ...], reference: str | None, out: Path) -> None:
    """Put what is chosen now into the record of each set."""
    trusted = read(reference) if reference else None
    for source in sets:
        image_set, record = read(source), read_json(_record(source, out))
        if record["data"] != image_set.content_hash:
            raise click.ClickException(f"{source}: the record is of other pictures; remove it")
        click.echo(image_set.name)
        chosen = {**record.get("chosen", {}), **choices(image_set, trusted)}
        write_json(_record(source, out), {**record, "chosen": chosen})


def _record(source: str, out: Path) -> Path:
    return out / f"{Path(source).stem.replace(' ', '-')}.json"


def choices(image_set: ImageSet, trusted: ImageSet | None) -> dict[str, Any]:
    """What is advised for a set without trusted pictures, and with them."""
    found = {"auto": _advised(audit_set(image_set), None)}
    if trusted is not None:
        found["auto with reference"] = _advised(audit_set(image_set, reference=trusted), trusted)
    return found


def _advised(audit: Audit, trusted: ImageSet | None) -> dict[str, Any]:
    advice = advise(audit, reference=trusted)
    return {
        "verdict": audit.verdict.answer,
        "candidate": str(Candidate(advice.method, advice.profiles, advice.settings)),
        "reason": advice.reason,
    }


def accuracies(
    image_set: ImageSet, test_set: ImageSet, candidates: Sequence[Candidate], seeds: int
) -> dict[str, list[float]]:
    """Accuracy of every training on a set as it is, and as every candidate leaves it."""
    left = {NONE: image_set}
    left |= {str(one): purify_in_memory(image_set, PurifyRun(one.build()))[0] for one in candidates}
    return {
        name: [
            score(train(shown, test_set=test_set, seed=seed, **TRAINING), test_set).accuracy.value
            for seed in range(seeds)
        ]
        for name, shown in left.items()
    }


@main.command()
@click.argument("records", type=click.Path(path_type=Path, exists=True))
def table(records: Path) -> None:
    """Write table.md: accuracy in %, and what the choice lies below the best column."""
    names = [NONE, *map(str, CANDIDATES)]
    lines = [f"| set | {' | '.join(names)} | auto | below the best |", f"|---|{'---|' * (len(names) + 2)}"]
    for path in sorted(records.glob("*.json")):
        record = read_json(path)
        mean = {name: 100 * sum(values) / len(values) for name, values in record["accuracy"].items()}
        shown = " | ".join(f"{mean[name]:.1f}" for name in names)
        for choice in record["chosen"].values():
            below = max(mean.values()) - mean[choice["candidate"]]
            lines.append(f"| {record['name']} | {shown} | {choice['verdict']}: {choice['candidate']} | {below:.1f} |")
    text = "\n".join(
        [*lines, "", "Accuracy in %, mean over trainings; two lines: without trusted pictures, and with them."]
    )
    write_text(records / "table.md", text + "\n")
    click.echo(text)


if __name__ == "__main__":
    main()
