"""`unpoison distances`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unpoison.cli import completing, options
from unpoison.cli.checks import check_sources

if TYPE_CHECKING:
    from unpoison.core.settings import PrecisionOrInt8


@click.command(epilog=options.examples("unpoison distances clean/ poisoned/ --method puregen-ebm --out distances.html"))
@click.argument("clean", shell_complete=completing.files)
@click.argument("poisoned", shell_complete=completing.files)
@click.option("--method", required=True, help="puregen-ebm, puregen-ddpm or eclipse.")
@click.option("--model", help="Its model, if not the one that comes with unpoison.")
@click.option("--count", default=256, show_default=True, type=click.IntRange(1), help="Pictures, over all classes.")
@click.option("--out", type=options.PATH, help="Page to write, with curves: distances.html.")
@options.computing
def distances(
    clean: str,
    poisoned: str,
    method: str,
    model: str | None,
    count: int,
    out: Path | None,
    seed: int,
    device: str,
    precision: PrecisionOrInt8 | None,
    profile: str,
    assignments: tuple[str, ...],
    input_format: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Measure how purification takes pictures of POISONED away from the poison, and how near to those of CLEAN.

    Looks at Langevin dynamics on its way to the method's `steps`, or at round trips to every t up to twice the
    method's. Pictures are matched by id; those that do not differ are left out. Distances are Euclidean norms over all
    values of a picture, in [0, 1] units.
    """
    from dataclasses import asdict

    from unpoison.core.progress import progress_bar, telling
    from unpoison.core.settings import parse_assignments
    from unpoison.core.targets import check_file
    from unpoison.nets.shipped import check_models, weights_path
    from unpoison.purifiers.settings import purifier_settings

    overrides = {**({} if model is None else {"model": model}), **parse_assignments(assignments)}
    settings: Any = purifier_settings(method, profiles=options.split_profiles(profile), overrides=overrides)
    settings = options.in_precision(settings, precision)
    if not dry_run:
        check_sources(clean, poisoned, input_format=input_format)
        check_models(settings)
    if out:
        check_file(out, example="distances.html")
    with telling(f"loading {method}"):
        from unpoison.core.device import choose_device
        from unpoison.core.files import write_text
        from unpoison.core.hashing import hash_file
        from unpoison.data import read
        from unpoison.reporting.distances import describe_crossing, distance_table, distances_page
        from unpoison.runs.run import PurifyRun
        from unpoison.studies.distances import crossing, measure_distances, pair_up
        from unpoison.studies.ladder import strength_field

    field = strength_field(method)
    run = PurifyRun(settings, seed=seed).resolved(choose_device(device))
    described = {"method": method, "seed": seed, "settings": run.describe()}
    if dry_run:
        options.answer(True, "", described)
        return
    before, after = pair_up(read(clean, format=input_format), read(poisoned, format=input_format), count=count)
    with progress_bar(f"distances {after.name}", unit="station") as on_step:
        stations = measure_distances(before, after, run, device=device, on_step=on_step)
    text = distance_table(stations, field=field)
    text += f"\n{len(after)} pictures. {describe_crossing(stations, field=field)}"
    weights = weights_path(settings[method].model)
    if out:
        write_text(out, distances_page(stations, field=field, method=method, model=weights.name, pictures=len(after)))
        text += f"\n-> {out}"
    found = crossing(stations)
    facts = {
        **described,
        "weights": {weights.name: hash_file(weights)},
        "pictures": len(after),
        "field": field,
        "crossing": found.strength if found else None,
        "stations": [asdict(station) for station in stations],
    }
    options.answer(as_json, text, facts)
