"""`unpoison purify`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unpoison.cli import completing, options
from unpoison.cli.checks import check_sources
from unpoison.core.methods import method_names
from unpoison.public import AUTO
from unpoison.public.pages import changes_path, preview_path, write_preview
from unpoison.purifiers.methods import DEFAULT, METHODS
from unpoison.runs.methods import ENGINES

if TYPE_CHECKING:
    from unpoison.core.images import ImageSet
    from unpoison.core.manifest import Manifest
    from unpoison.core.settings import PrecisionOrInt8
    from unpoison.public.choosing import Choice
    from unpoison.runs.run import PurifyRun


_NAMES = method_names(METHODS, kind="purifier")


@click.command(
    epilog=options.examples(
        "unpoison purify untrusted/ purified/",
        "unpoison purify untrusted/ --preview 16",
        "unpoison purify untrusted/ purified/ --method auto",
        "unpoison purify untrusted/ purified/ --method jpeg+eclipse --model net.safetensors",
    )
)
@click.argument("src", shell_complete=completing.files)
@click.argument("dst", type=options.PATH, required=False)
@click.option(
    "--method",
    default=DEFAULT,
    show_default=True,
    shell_complete=completing.names([AUTO, *_NAMES], separator="+"),
    help=f"One of {', '.join(_NAMES)}, or package.module:Class of yours; several are joined by +. {AUTO} audits SRC "
    "first, tries a few of them on a sample if it looks poisoned, and takes the weakest that is enough.",
)
@click.option(
    "--reference",
    metavar="SET",
    shell_complete=completing.files,
    help="Trusted pictures of the same classes, 20 of each or more: --method auto takes what a classifier learns them "
    "best by.",
)
@click.option(
    "--model",
    shell_complete=completing.models,
    help="pocket-free, pocket, ebm-small or ddpm250-small, which come with unpoison, or a file written by `fit` or "
    "`models import`. puregen-naive, -reps and -filt take two: this is their diffusion model, and --set energy=FILE "
    "their energy model.",
)
@click.option(
    "--sigma", help="Noise to add, in [0, 1] pixel units, e.g. 25/255. Of gaussian-blur: its width in pixels."
)
@click.option("--steps", type=click.IntRange(1), help="Network calls.")
@click.option("--batch-size", type=click.IntRange(1), default=256, show_default=True, help="Images on a GPU at once.")
@click.option("--labels-from", help="A second set that holds the labels of a flat numbered folder.")
@click.option("--skip-bad", is_flag=True, help="Set unreadable pictures aside and list them in the manifest.")
@click.option("--overwrite", is_flag=True, help="Put the new set in place of another one of unpoison's at DST.")
@click.option(
    "--copies",
    type=click.IntRange(1, 1000),
    default=1,
    metavar="K",
    help="Draws of every picture in the new set: the first under its id, the others under ID~2, ID~3, ...",
)
@click.option(
    "--preview",
    type=click.IntRange(1),
    metavar="N",
    help="Try N pictures, show them on a page, and write no set. DST, which may be left out, names the page.",
)
@click.option(
    "--part", metavar="I/N", help="Do the I-th of N parts, as in a job array; the last one to finish assembles DST."
)
@click.option(
    "--engine",
    type=click.Choice(list(ENGINES)),
    default="local",
    show_default=True,
    help="Where to compute: here, or on the workers of a Ray cluster.",
)
@click.option("--workers", type=click.IntRange(1), help="Workers of --engine ray.  [default: one per core or GPU]")
@options.purifying
def purify(
    src: str,
    dst: Path | None,
    method: str,
    reference: str | None,
    model: str | None,
    sigma: str | None,
    steps: int | None,
    batch_size: int,
    labels_from: str | None,
    skip_bad: bool,
    overwrite: bool,
    copies: int,
    preview: int | None,
    part: str | None,
    engine: str,
    workers: int | None,
    seed: int | None,
    device: str,
    precision: PrecisionOrInt8 | None,
    profile: str,
    assignments: tuple[str, ...],
    input_format: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Purify the image set SRC into DST.

    A run that was stopped goes on when the same command is given again; one that is finished is left as it is. What was
    done is written to DST/manifest.json, or beside DST if it is a file, and what changed is shown on a page,
    changes.html.
    """
    if dst is None and preview is None and not dry_run:
        raise click.UsageError("name DST, the set to make; only --preview and --dry-run go without")
    if part and (engine != "local" or workers):
        raise click.UsageError("--part shares the work by itself; omit --engine and --workers")
    if method == AUTO and (model or sigma or steps or profile or assignments):
        raise click.UsageError(f"--method {AUTO} chooses the settings itself; name a method to set them")
    if reference and method != AUTO:
        raise click.UsageError(f"--reference is for --method {AUTO}")
    from unpoison.core.progress import progress_bar, telling, write_line
    from unpoison.core.settings import parse_assignments, with_precision
    from unpoison.core.targets import check_file, check_place
    from unpoison.nets.shipped import check_models
    from unpoison.purifiers.settings import purifier_settings
    from unpoison.runs.parts import Part

    overrides: dict[str, Any] = {
        key: value for key, value in (("model", model), ("sigma", sigma), ("steps", steps)) if value is not None
    }
    overrides.update(parse_assignments(assignments))
    # An audit computes with the network of `fast`, which stands here for what will be chosen.
    named = "fast" if method == AUTO else method
    settings = purifier_settings(named, profiles=options.split_profiles(profile), overrides=overrides)
    settings = options.in_precision(settings, precision)
    share = Part.parse(part) if part else None
    settings_only = dry_run and method != AUTO
    if not settings_only:
        check_sources(src, labels_from, reference, input_format=input_format)
        check_models(settings)
        if preview is not None:
            check_file(preview_path(dst), example="preview.html")
        elif dst is not None:
            check_place(dst)

    with telling(f"reading {src}"):
        from unpoison.core.device import choose_device
        from unpoison.core.manifest import manifest_path
        from unpoison.data import bad_pictures_together, read, read_history
        from unpoison.public.files import check_source, purify_into
        from unpoison.runs.run import PurifyRun

        run = PurifyRun.seeded(settings, seed, copies=copies)
        if settings_only:
            options.answer(True, "", _planned(run, device))
            return
        choose_device(device)
        found = read(src, format=input_format, labels_from=read(labels_from) if labels_from else None)
        image_set, skipped = check_source(
            found, run, skip_bad=skip_bad, warn=lambda warning: write_line(f"unpoison: {warning}")
        )
    remedy = "Remove or replace what is broken, or set it aside with --skip-bad"
    facts: dict[str, Any] = {}
    if method == AUTO:
        target = None if dry_run or preview is not None else dst
        choice = _choose(image_set, reference, target, overwrite=overwrite, device=device, remedy=remedy)
        chosen = {name: with_precision(own, precision, of=name) for name, own in choice.settings.items()}
        run, facts = replace(run, settings=chosen), choice.facts
        if dry_run:
            options.answer(True, "", {**_planned(run, device), **facts})
            return
    if preview is not None:
        with (
            bad_pictures_together(image_set, remedy=remedy),
            progress_bar(f"trying {preview} pictures of {image_set.name} with {run.method}", unit="img") as bar,
        ):
            shown = write_preview(image_set, run, preview_path(dst), count=preview, device=device, on_step=bar)
        text = "{previewed} of {images} images tried, mean change {change_255} of 255 -> {page}".format(**shown)
        options.answer(as_json, text, shown)
        return
    assert dst is not None  # checked above
    arguments: dict[str, Any] = {
        "device": device,
        "batch_size": batch_size,
        "history": read_history(src),
        "skipped": skipped,
        "facts": facts,
        "part": share,
        "engine": engine,
        "workers": workers,
        "overwrite": overwrite,
    }
    with progress_bar(f"purify {image_set.name}", unit="img") as bar:
        outcome = purify_into(image_set, dst, run, remedy=remedy, on_step=bar, say=write_line, **arguments)
    manifest = outcome.manifest
    if manifest is None:
        text = f"part {part} done; blocks that other parts have still to do: {outcome.missing}"
        options.answer(as_json, text, {"part": part, "missing_blocks": outcome.missing})
        return
    if outcome.was_there:
        write_line(f"unpoison: {dst} was done already, with the same settings from the same pictures")
    step = manifest.steps[-1]
    answer = {
        "images": manifest.count,
        "skipped": len(skipped),
        "notes": manifest.notes,
        "method": step.method,
        "result": step.result,
        "manifest": str(manifest_path(dst)),
        "page": str(changes_path(dst)) if changes_path(dst).exists() else None,
        "already_done": outcome.was_there,
    }
    if not outcome.was_there and (changed := _changed_in_kind(image_set, dst)):
        write_line(f"unpoison: {changed}")
    options.answer(as_json, _describe(manifest, dst), {**answer, **step.facts})


def _choose(image_set: ImageSet, reference: str | None, target: Path | None, **options: Any) -> Choice:
    """What an audit of the set advises, said on stderr."""
    from unpoison.core.progress import progress_bar, write_line
    from unpoison.data import read
    from unpoison.public.choosing import choose

    with progress_bar(f"audit {image_set.name}", unit="%") as bar:
        return choose(
            image_set,
            reference=read(reference) if reference else None,
            target=target,
            say=lambda text: write_line(f"unpoison: {text}"),
            on_step=bar,
            **options,
        )


def _planned(run: PurifyRun, device: str) -> dict[str, Any]:
    """What --dry-run prints."""
    from unpoison.core.device import choose_device

    settings = run.resolved(choose_device(device)).describe()
    return {"method": run.method, "seed": None if run.is_secret else run.seed, "settings": settings}


def _changed_in_kind(image_set: ImageSet, dst: Path) -> str:
    """What the files of a set have become, where that is something else than they were."""
    from unpoison.data import default_format, stores_png

    written = default_format(image_set.format, dst)
    others = [name for name in getattr(image_set, "files", ()) if not name.endswith(".png")]
    if others and stores_png(written):
        return f"{len(others)} pictures are stored as .png now, under their old names but for the suffix"
    return f"format: {image_set.format} before, {written} now" if written != image_set.format else ""


def _describe(manifest: Manifest, dst: Path) -> str:
    """What a run has done, in a few lines."""
    from unpoison.core.manifest import manifest_path

    step = manifest.steps[-1]
    strength = f", noise {step.facts['sigma_255']:.1f}/255" if "sigma_255" in step.facts else ""
    lines = [f"{manifest.count} images purified with {step.method}{strength} -> {dst}"]
    shown = f", shown in {changes_path(dst)}" if changes_path(dst).exists() else ""
    lines.append(f"mean change {step.facts['change_255']['mean']:.1f} of 255{shown}")
    lines.append(f"manifest: {manifest_path(dst)}")
    return "\n".join(lines)
