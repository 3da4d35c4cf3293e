"""`unpoison energies`."""

from __future__ import annotations

from pathlib import Path

import click

from unpoison.cli import completing, options
from unpoison.cli.checks import check_sources


@click.command(epilog=options.examples("unpoison energies untrusted/ purified/ --out energies.html"))
@click.argument("sources", metavar="SRC [SRC2 ...]", nargs=-1, required=True, shell_complete=completing.files)
@click.option(
    "--model",
    default="ebm-small",
    show_default=True,
    help="Energy model: ebm-small, which comes with unpoison, or a file written by `fit ebm` or `models import`.",
)
@click.option("--out", type=options.PATH, help="Page to write, with histograms: energies.html.")
@options.together(options.device, options.threads, options.input_format, options.as_json)
def energies(
    sources: tuple[str, ...], model: str, out: Path | None, device: str, input_format: str | None, as_json: bool
) -> None:
    """Measure how natural an energy model finds the pictures of one set, or of several side by side.

    Shows mean, standard deviation and quantiles of every set and class, such as of a clean, a poisoned and a purified
    one; --out draws their histograms.
    """
    from unpoison.core.progress import progress_bar, telling
    from unpoison.core.targets import check_file
    from unpoison.nets.shipped import check_model

    check_sources(*sources, input_format=input_format)
    check_model(model)
    if out:
        check_file(out, example="energies.html")
    with telling(f"loading {model}"):
        from unpoison.core.device import choose_device
        from unpoison.core.errors import DataError
        from unpoison.core.files import write_text
        from unpoison.data import read
        from unpoison.purifiers.energies import measure_energies
        from unpoison.purifiers.weights import load_energy
        from unpoison.reporting.energies import SetEnergies, energies_page, energy_facts, energy_table

        where = choose_device(device)
        network, weights = load_energy(model, method="energies", precision="fp32", device=where)
    measured: list[SetEnergies] = []
    names: list[str] = []
    for source in sources:
        image_set = read(source, format=input_format)
        if not len(image_set):
            raise DataError(image_set.name, "it holds no pictures", "Name another set")
        with progress_bar(f"energies {image_set.name}", unit="img") as on_step:
            values = measure_energies(image_set, network, device=where, on_step=on_step)
        namesakes = sum(image_set.name == name for name in names)
        names.append(image_set.name)
        name = f"{image_set.name} ({namesakes + 1})" if namesakes else image_set.name
        measured.append(SetEnergies(name, values, image_set.labels, image_set.class_names))
    text = energy_table(measured)
    if out:
        write_text(out, energies_page(measured, model=Path(model).name))
        text += f"\n-> {out}"
    options.answer(as_json, text, {"weights": weights, "sets": energy_facts(measured)})
