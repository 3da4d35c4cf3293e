"""`unpoison convert`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unpoison.cli import completing, options
from unpoison.cli.checks import check_paths, check_sources

if TYPE_CHECKING:
    from unpoison.core.images import ImageSet

_PER_CLASS = re.compile(r"(:?)([1-9]\d{0,8})(:?)")


@click.command(
    epilog=options.examples(
        "unpoison convert pictures/ pictures.npz --size 32",
        "unpoison convert cifar-10-python.tar.gz#test[:1000] small/",
        "unpoison convert pictures/ cleaned/ --without drop.txt",
    )
)
@click.argument("src", shell_complete=completing.files)
@click.argument("dst", type=options.PATH)
@click.option("--labels-from", help="A second set that holds the labels of a flat numbered folder.")
@click.option(
    "--size",
    type=click.IntRange(1, 10_000),
    help="Make squares of this side: the shorter side is scaled to it (Lanczos), the middle of the other is kept.",
)
@click.option(
    "--per-class", metavar=":N|N:", help="Keep the first N pictures of each class (:4800), or the others (4800:)."
)
@click.option(
    "--only", type=options.PATH, metavar="LIST", help="Keep the pictures that a text file names, an id a line."
)
@click.option("--without", type=options.PATH, metavar="LIST", help="Leave out the pictures that it names.")
@click.option(
    "--to", "output_format", help="Format of DST, if its suffix does not say: folder, numbered, npz, parquet."
)
@options.together(options.input_format, options.as_json)
def convert(
    src: str,
    dst: Path,
    labels_from: str | None,
    size: int | None,
    per_class: str | None,
    only: Path | None,
    without: Path | None,
    output_format: str | None,
    input_format: str | None,
    as_json: bool,
) -> None:
    """Write the image set SRC again as DST, in another format or size; ids and labels stay.

    What was done to it before goes with it, in a manifest, which also counts what the format could not hold. Other
    pixels or fewer pictures begin a history of their own.
    """
    from unpoison.core.manifest import Manifest, pack_manifest
    from unpoison.core.notes import Note, count_notes
    from unpoison.core.progress import progress_bar, telling
    from unpoison.data import only_listed, read, read_history, refuse_existing, resize, without_listed, write

    if only and without:
        raise click.UsageError("--only and --without say the same of other pictures; omit one")
    check_paths(only, without)
    check_sources(src, labels_from, input_format=input_format)
    refuse_existing(dst)
    with telling(f"reading {src}"):
        image_set = read(src, format=input_format, labels_from=read(labels_from) if labels_from else None)
        whole = len(image_set)
        if only:
            image_set = only_listed(image_set, only)
        if without:
            image_set = without_listed(image_set, without)
        left_out = whole - len(image_set)
        if per_class:
            image_set = _part_of_classes(image_set, per_class)
        if size:
            image_set = resize(image_set, size)
    history = [] if per_class or size or left_out else read_history(src)

    def files(notes: Sequence[Note]) -> dict[str, bytes]:
        if not (history or image_set.notes or notes):
            return {}  # there is nothing to tell
        manifest = Manifest(
            name=image_set.name,
            format=image_set.format,
            count=len(image_set),
            per_class=image_set.count_per_class(),
            notes=count_notes([*image_set.notes, *notes]),
            steps=history,
        )
        return pack_manifest(manifest)

    with progress_bar(f"convert {image_set.name}", unit="img") as on_step:
        write(image_set, dst, format=output_format, files=files, on_step=on_step)
    facts: dict[str, Any] = {"images": len(image_set), "per_class": image_set.count_per_class()}
    if as_json:  # it takes as long as reading the set again
        facts["hash"] = image_set.content_hash
    text = f"{len(image_set)} images in {len(image_set.class_names)} classes: {image_set.format} -> {dst}"
    if only or without:
        facts["left_out"] = left_out
        text += f", {left_out} left out"
    options.answer(as_json, text, facts)


def _part_of_classes(image_set: ImageSet, asked: str) -> ImageSet:
    from unpoison.core.errors import SettingsError
    from unpoison.poisons.engine.setups import split_classes

    match = _PER_CLASS.fullmatch(asked)
    if match is None or bool(match[1]) == bool(match[3]):
        raise SettingsError(f"--per-class {asked}: write :N for the first N of each class, or N: for the others")
    first, others = split_classes(image_set.labels, int(match[2]))
    rows = first if match[1] else others
    if not len(rows):
        raise SettingsError(f"--per-class {asked} leaves nothing of {image_set.name}")
    return image_set.subset(rows)
