"""`unpoison rerun`."""

from __future__ import annotations

from pathlib import Path

import click

from unpoison.cli import options
from unpoison.cli.checks import check_paths, check_sources


@click.command(epilog=options.examples("unpoison rerun purified/manifest.json --out again/"))
@click.argument("manifest", type=options.PATH)
@click.option("--out", type=options.PATH, required=True, help="New folder or file for the set made again.")
@click.option("--source", help="The set it was made from, or any set earlier in its history.  [default: beside it]")
@click.option(
    "--model",
    type=options.PATH,
    multiple=True,
    help="Weight file, or folder of a classifier, that the run used, if it is not beside it.",
)
@click.option("--with", "others", multiple=True, help="A further set that an attack used.")
@options.trust
@options.together(options.device, options.threads, options.as_json)
def rerun(
    manifest: Path,
    out: Path,
    source: str | None,
    model: tuple[Path, ...],
    others: tuple[str, ...],
    trust: tuple[str, ...],
    device: str,
    as_json: bool,
) -> None:
    """Make the set that MANIFEST describes again, and compare it with the one that was made.

    In place of its manifest, the set itself may be named.
    """
    from unpoison.core.manifest import find_manifest
    from unpoison.core.progress import progress_bar, telling
    from unpoison.data import refuse_existing

    manifest = find_manifest(manifest)
    check_paths(manifest, *model)
    check_sources(source, *others)
    refuse_existing(out)
    with telling(f"reading {manifest}"):
        from unpoison.bench.remaking import remake

    with progress_bar("rerun", unit="img") as on_step:
        comparison = remake(
            manifest, out, source=source, models=model, others=others, trusted=trust, device=device, on_step=on_step
        )
    options.answer(as_json, f"{comparison.describe()} -> {out}", comparison.facts())
