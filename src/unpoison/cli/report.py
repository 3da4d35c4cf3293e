"""`unpoison report`."""

from __future__ import annotations

from pathlib import Path

import click

from unpoison.cli import options
from unpoison.cli.checks import check_paths


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
