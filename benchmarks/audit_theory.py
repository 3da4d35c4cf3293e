"""What theory says of sets that we poisoned, beside their originals.

    for attack in lsp ar tap; do
        unpoison poison CIFAR_TRAIN_PARQUET[:2500] $attack.npz --attack $attack --seed 1  # tap: --profile small as well
    done
    python benchmarks/audit_theory.py CIFAR_TRAIN_PARQUET[:2500] lsp.npz ar.npz tap.npz --out results/audit

`unpoison audit SET --theory ORIGINALS` says the same of one set.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from unpoison.auditing.theory import Diagnostics, diagnose
from unpoison.core.device import choose_device, describe_device, versions
from unpoison.core.files import write_json, write_text
from unpoison.core.progress import progress_bar
from unpoison.data import read
from unpoison.reporting.audit.theory import CAVEAT, theory_rows, theory_table


@click.command()
@click.argument("originals")
@click.argument("poisoned", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for theory.json and theory.md.")
@click.option("--device", default="auto", show_default=True)
def main(originals: str, poisoned: tuple[str, ...], out: Path, device: str) -> None:
    """Apply the five diagnostics to sets that were made from ORIGINALS, with the purifier `fast`."""
    before = read(originals)
    found: dict[str, Diagnostics] = {}
    hashes: dict[str, str] = {}
    for source in poisoned:
        after = read(source)
        name = Path(source).stem
        with progress_bar(f"theory of {name}", unit="%") as on_step:
            found[name] = diagnose(after, before, device=device, on_step=on_step)
        hashes[name] = after.content_hash
    record = {
        "originals": before.content_hash,
        "sets": {name: {"hash": hashes[name], **asdict(one)} for name, one in found.items()},
        "versions": versions(),
        "device": describe_device(choose_device(device)),
    }
    write_json(out / "theory.json", record)
    write_text(out / "theory.md", describe(found, record["device"]))
    click.echo((out / "theory.md").read_text(encoding="utf-8"))


def describe(found: dict[str, Diagnostics], device: object) -> str:
    one = next(iter(found.values()))
    meanings = "\n".join(f"- **{row.title}**: {row.meaning}" for row in theory_rows(one))
    about = (
        f"{one.pictures:,} of {one.images:,} pictures of each set, evenly over the classes, beside their originals; "
        f"purifier `{one.method}`. {CAVEAT} Device: {device}."
    )
    return f"{theory_table(found)}\n\n{meanings}\n\n{about}\n"


if __name__ == "__main__":
    main()
