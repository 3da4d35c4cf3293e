"""`unpoison purify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from unpoison.cli import options
from unpoison.purifiers.methods import METHODS


@click.command()
@click.argument("src")
@click.argument("dst", type=options.PATH)
@click.option(
    "--method", default="fast", show_default=True, help=f"One of {', '.join(METHODS)}; several are joined by +."
)
@click.option("--model", help="Diffusion model: a file written by `fit` or `models import`.")
@click.option("--sigma", help="Noise to add, in [0, 1] pixel units, e.g. 26/255.")
@click.option("--steps", type=int, help="Network calls.")
@click.option("--batch-size", default=256, show_default=True, help="Images on the device at once.")
@click.option("--labels-from", help="A second set that holds the labels of a flat numbered folder.")
@click.option("--skip-bad", is_flag=True, help="Set unreadable pictures aside and list them in the manifest.")
@options.computing
def purify(
    src: str,
    dst: Path,
    method: str,
    model: str | None,
    sigma: str | None,
    steps: int | None,
    batch_size: int,
    labels_from: str | None,
    skip_bad: bool,
    seed: int,
    device: str,
    profile: str,
    assignments: tuple[str, ...],
    input_format: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Purify the image set SRC into DST.

    A run that was stopped goes on when the same command is given again. What was done is written to DST/manifest.json,
    or beside DST if it is a file.
    """
    from unpoison.core.settings import parse_assignments
    from unpoison.purifiers.building import purifier_settings
    from unpoison.purifiers.work import PurifyRun

    overrides: dict[str, Any] = {
        key: value for key, value in (("model", model), ("sigma", sigma), ("steps", steps)) if value is not None
    }
    overrides.update(parse_assignments(assignments))
    settings = purifier_settings(method, profiles=options.split_profiles(profile), overrides=overrides)
    run = PurifyRun(settings, seed=seed)
    if dry_run:
        options.answer(True, "", {"method": run.method, "seed": seed, "settings": run.describe()})
        return

    from unpoison.core.progress import progress_bar
    from unpoison.data import read, read_history, set_bad_aside
    from unpoison.purifiers.runner import purify_to

    image_set = read(src, format=input_format, labels_from=read(labels_from) if labels_from else None)
    skipped: list[str] = []
    if skip_bad:
        everything = image_set.ids
        image_set, bad = set_bad_aside(image_set)
        skipped = sorted(set(everything) - set(image_set.ids))
        for error in bad:
            click.echo(f"unpoison: set aside: {error}", err=True)
    with progress_bar(f"purify {image_set.name}", unit="img") as on_step:
        manifest = purify_to(
            image_set,
            dst,
            run,
            device=device,
            batch_size=batch_size,
            history=read_history(src),
            skipped=skipped,
            on_step=on_step,
        )
    step = manifest.steps[-1]
    strength = f", noise {step.facts['sigma_255']:.1f}/255" if "sigma_255" in step.facts else ""
    options.answer(
        as_json,
        f"{manifest.count} images purified with {step.method}{strength} -> {dst}",
        {"images": manifest.count, "skipped": len(skipped), "method": step.method, "result": step.result, **step.facts},
    )
