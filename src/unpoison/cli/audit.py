"""`unpoison audit`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from unpoison.cli import completing, options
from unpoison.cli.checks import check_sources

_FAILS = {"poisoned": ("poisoned",), "doubt": ("poisoned", "cannot tell")}


@click.command(
    epilog=options.examples(
        "unpoison audit untrusted/",
        "unpoison audit untrusted/ --reference trusted/ --out audit.html --scores audit.parquet",
        "unpoison audit untrusted/ --fail-on poisoned --json",
    )
)
@click.argument("src", shell_complete=completing.files)
@click.option("--reference", metavar="CLEAN", help="A few trusted pictures of the same classes, to compare with.")
@click.option(
    "--theory",
    metavar="ORIGINALS",
    help="The pictures before you poisoned them: also what is left of the perturbation.",
)
@click.option("--out", type=options.PATH, help="Page to write, with pictures of the evidence: audit.html.")
@click.option("--scores", type=options.PATH, help="Table to write, a row for each picture: .parquet or .csv.")
@click.option(
    "--fail-on",
    type=click.Choice(list(_FAILS)),
    help="End with exit code 1 if the set looks poisoned, or if it cannot be told either.",
)
@click.option("--labels-from", help="A second set that holds the labels of a flat numbered folder.")
@options.together(options.device, options.threads, options.input_format, options.as_json)
def audit(
    src: str,
    reference: str | None,
    theory: str | None,
    out: Path | None,
    scores: Path | None,
    fail_on: str | None,
    labels_from: str | None,
    device: str,
    input_format: str | None,
    as_json: bool,
) -> None:
    """Say whether the set SRC looks poisoned, how, where, and what to do about it.

    There are three answers: it looks poisoned, nothing was found, or it cannot be told. Evidence is compared with what
    clean sets show that are as hard by nature. What was found is no proof, and what was not found may be there.
    """
    from unpoison.core.progress import progress_bar, telling
    from unpoison.core.targets import check_file

    check_sources(src, reference, theory, labels_from, input_format=input_format)
    if out:
        check_file(out, example="audit.html")
    with telling(f"reading {src}"):
        from unpoison.core.device import choose_device
        from unpoison.data import read
        from unpoison.public.auditing import audit as audit_public
        from unpoison.public.auditing import check_scores

        if scores:
            check_scores(scores)
            check_file(scores, example="audit.parquet")
        choose_device(device)
        image_set = read(src, format=input_format, labels_from=read(labels_from) if labels_from else None)
        trusted = read(reference) if reference else None
        originals = read(theory) if theory else None
    with progress_bar(f"audit {image_set.name}", unit="%") as on_step:
        result = audit_public(image_set, reference=trusted, theory=originals, device=device, on_step=on_step)
    text = str(result)
    if out:
        result.save(out)
        text += f"\n-> {out}"
    if scores:
        result.save_scores(scores)
        text += f"\n-> {scores}"
    options.answer(as_json, text, result.facts())
    if fail_on and result.verdict.answer in _FAILS[fail_on]:
        sys.exit(1)
