"""`unpoison convert`."""

from __future__ import annotations

from pathlib import Path

import click

from unpoison.cli import options


@click.command()
@click.argument("src")
@click.argument("dst", type=options.PATH)
@click.option("--labels-from", help="A second set that holds the labels of a flat numbered folder.")
@click.option(
    "--to", "output_format", help="Format of DST, if its suffix does not say: folder, numbered, npz, parquet."
)
@options.together(options.input_format, options.as_json)
def convert(
    src: str, dst: Path, labels_from: str | None, output_format: str | None, input_format: str | None, as_json: bool
) -> None:
    """Write the image set SRC again as DST, in another format; ids, labels and pixels stay."""
    from unpoison.data import read, write

    image_set = read(src, format=input_format, labels_from=read(labels_from) if labels_from else None)
    write(image_set, dst, format=output_format)
    options.answer(
        as_json,
        f"{len(image_set)} images in {len(image_set.class_names)} classes: {image_set.format} -> {dst}",
        {"images": len(image_set), "per_class": image_set.count_per_class(), "hash": image_set.content_hash},
    )
