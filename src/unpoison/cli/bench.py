"""`unpoison bench` and `unpoison report`."""

from __future__ import annotations

from pathlib import Path

import click

from unpoison.cli import options


@click.command()
@click.argument("suite", type=options.PATH)
@click.option("--out", type=options.PATH, required=True, help="Folder for records; the suite gets a folder in it.")
@click.option("--root", type=options.PATH, help="Folder that the suite's data paths are relative to.")
@options.together(options.device, options.as_json)
def bench(suite: Path, out: Path, root: Path | None, device: str, as_json: bool) -> None:
    """Run the grid of trials described in SUITE (a .toml file), or go on with it.

    A trial that has a record is not run again.
    """
    from unpoison.bench.running import run_suite
    from unpoison.bench.suite import read_suite
    from unpoison.reporting.grid import make_grid
    from unpoison.reporting.tables import grid_tables

    records = run_suite(suite, out, root=root, device=device)
    grid = make_grid(read_suite(suite), records)
    options.answer(
        as_json,
        grid_tables(grid).rstrip(),
        {"trials": len(records), "records": [record.id for record in records]},
    )


@click.command()
@click.argument("folder", type=options.PATH)
@options.as_json
def report(folder: Path, as_json: bool) -> None:
    """Make table.md, report.html and ECLIPSE's results.csv from the records in FOLDER."""
    from unpoison.core.files import write_text
    from unpoison.reporting.eclipse_export import eclipse_rows
    from unpoison.reporting.grid import read_grid
    from unpoison.reporting.pages import grid_page
    from unpoison.reporting.tables import grid_tables
    from unpoison.scoring.eclipse_csv import write_rows

    grid = read_grid(folder)
    write_text(folder / "table.md", grid_tables(grid))
    write_text(folder / "report.html", grid_page(grid))
    write_rows(folder / "results.csv", eclipse_rows(grid))
    options.answer(
        as_json,
        f"{folder / 'table.md'}\n{folder / 'report.html'}",
        {"trials": len(grid.records), "folder": str(folder)},
    )
