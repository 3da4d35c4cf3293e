"""`unpoison bench` and `unpoison report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unpoison.cli import completing, options
from unpoison.cli.checks import check_paths

if TYPE_CHECKING:
    from unpoison.core.settings import PrecisionOrInt8
    from unpoison.reporting.grid import Grid

_MAX_CASES = 100_000  # a slip of the finger would fill the memory


def _numbers(context: click.Context, parameter: click.Parameter, text: str | None) -> frozenset[int] | None:
    """`0,3-5` to {0, 3, 4, 5}."""
    if text is None:
        return None
    numbers: set[int] = set()
    try:
        for part in text.split(","):
            first, dash, last = part.partition("-")
            stretch = range(int(first), int(last if dash else first) + 1)
            if not stretch or stretch.stop > _MAX_CASES:
                raise ValueError
            numbers.update(stretch)
    except ValueError:
        raise click.BadParameter(f"'{text}' is no list of numbers like 0,3-7") from None
    return frozenset(numbers)


@click.command(
    epilog=options.examples(
        "unpoison bench cifar10-eclipse --root data/ --out results",
        "unpoison bench suite.toml --out results --targets 0,3-7",
    )
)
@click.argument("suite", shell_complete=completing.suites)
@click.option("--out", type=options.PATH, required=True, help="Folder for records; the suite gets a folder in it.")
@click.option("--root", type=options.PATH, help="Folder that the suite's data paths are relative to.")
@click.option(
    "--targets",
    callback=_numbers,
    metavar="N[,N-M...]",
    help="Of attacks with several cases (targets, target classes), run only these, counted from 0: 0,3-7.",
)
@options.trust
@options.together(options.device, options.precision, options.threads, options.as_json)
def bench(
    suite: str,
    out: Path,
    root: Path | None,
    targets: frozenset[int] | None,
    trust: tuple[str, ...],
    device: str,
    precision: PrecisionOrInt8 | None,
    as_json: bool,
) -> None:
    """Run the grid of trials that SUITE describes, or go on with it, and write its table.md.

    SUITE is a .toml file, of the form in docs/suites.md, or the name of one that comes with unpoison. A trial that has
    a record is not run again.
    """
    from unpoison.bench.shipped import suite_path
    from unpoison.core.methods import trusting
    from unpoison.core.progress import progress_bar
    from unpoison.core.targets import check_place

    path = suite_path(suite)
    check_paths(path, root)
    check_place(out / "records")
    with trusting(trust), progress_bar(f"bench {path.stem}", unit="%") as on_step:
        from unpoison.bench.running import run_suite
        from unpoison.bench.suite import read_suite
        from unpoison.reporting.grid import make_grid
        from unpoison.reporting.tables import grid_tables

        grid_of = read_suite(path)
        about: dict[str, Any] = {"device": device, "precision": precision, "targets": targets}
        records = run_suite(grid_of, out, root=root, on_step=on_step, **about)
    grid = make_grid(grid_of, records)
    table = _write_table(out / grid_of.name, grid, is_whole=targets is None)
    options.answer(
        as_json,
        grid_tables(grid).rstrip(),
        {"trials": len(records), "records": [record.id for record in records], "table": table and str(table)},
    )


def _write_table(folder: Path, grid: Grid, *, is_whole: bool) -> Path | None:
    """Write table.md; after a part of the targets, over all that have records, whoever ran them."""
    from unpoison.core.errors import SettingsError
    from unpoison.core.progress import write_line
    from unpoison.reporting.grid import read_grid
    from unpoison.reporting.tables import write_grid_tables

    try:
        return write_grid_tables(folder, grid if is_whole else read_grid(folder))
    except SettingsError as error:  # records of another version of the suite lie there, and the run itself went well
        write_line(f"unpoison: {folder / 'table.md'} is not written: {error}")
        return None


@click.command(
    epilog=options.examples("unpoison report results/cifar10-eclipse", "unpoison report Results.csv --out results")
)
@click.argument("folder", type=options.PATH)
@click.option("--out", type=options.PATH, help="Folder for the records of a published Results.csv.")
@options.as_json
def report(folder: Path, out: Path | None, as_json: bool) -> None:
    """Make table.md, report.html and ECLIPSE's results.csv from the records in FOLDER.

    Suites with triggers, targets or PureGen's purifiers also get PureGen's tables, in the folder puregen. In place of
    FOLDER a Results.csv of PureGen: its rows become records and a table in --out.
    """
    from unpoison.core.errors import SettingsError

    if folder.suffix == ".csv" and out:
        _import_results(folder, out, as_json)
        return
    if folder.suffix == ".csv" or out:
        raise SettingsError("--out goes with a Results.csv of PureGen: unpoison report Results.csv --out FOLDER")
    check_paths(folder)
    from unpoison.core.files import write_text
    from unpoison.reporting.grid import read_grid
    from unpoison.reporting.pages import grid_page
    from unpoison.reporting.reference.eclipse_csv import eclipse_rows, write_rows
    from unpoison.reporting.reference.puregen_csv import write_table
    from unpoison.reporting.reference.puregen_export import puregen_tables
    from unpoison.reporting.tables import write_grid_tables

    grid = read_grid(folder)
    written = write_grid_tables(folder, grid)
    write_text(folder / "report.html", grid_page(grid))
    write_rows(folder / "results.csv", eclipse_rows(grid))
    for path, table in puregen_tables(grid).items():
        write_table(folder / "puregen" / path, table.columns, table.rows)
    options.answer(
        as_json,
        f"{written}\n{folder / 'report.html'}",
        {"trials": len(grid.records), "folder": str(folder)},
    )


def _import_results(path: Path, out: Path, as_json: bool) -> None:
    from unpoison.core.files import write_text
    from unpoison.core.records import write_record
    from unpoison.reporting.reference.puregen_results import read_results, results_table

    records = read_results(path)
    table = results_table(records)
    for record in records:
        write_record(out, record)
    write_text(out / "table.md", table)
    options.answer(as_json, table.rstrip(), {"records": len(records), "folder": str(out)})
