"""`unpoison bench`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from unpoison.cli import completing, options
from unpoison.cli.checks import check_paths

if TYPE_CHECKING:
    from unpoison.bench.estimate import Estimate
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


class _Bench(options.Group):
    """Commands, of which `run` may be left out: `bench SUITE` is `bench run SUITE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        suite = self.commands["run"].params[0]
        return [*super().shell_complete(ctx, incomplete), *suite.shell_complete(ctx, incomplete)]


@click.group(
    cls=_Bench,
    subcommand_metavar="SUITE|COMMAND [ARGS]...",
    epilog=options.examples(
        "unpoison bench quick --out results", "unpoison bench compare results/quick", "unpoison bench run --help"
    ),
)
def bench() -> None:
    """Run a grid of attacks and defences, and hold what came out against the literature.

    `unpoison bench SUITE --out DIR` is short for `unpoison bench run SUITE --out DIR`.
    """


@bench.command(
    epilog=options.examples(
        "unpoison bench run quick --out results",
        "unpoison bench run cpu --root data/ --out results",
        "unpoison bench run suite.toml --out results --targets 0,3-7",
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
@click.option(
    "--dry-run", is_flag=True, help="Check the suite, say how much of it is done and how long the rest takes, and stop."
)
@options.trust
@options.together(options.device, options.precision, options.threads, options.as_json)
def run(
    suite: str,
    out: Path,
    root: Path | None,
    targets: frozenset[int] | None,
    dry_run: bool,
    trust: tuple[str, ...],
    device: str,
    precision: PrecisionOrInt8 | None,
    as_json: bool,
) -> None:
    """Run the grid of trials that SUITE describes, or go on with it, and write its table.md.

    SUITE is a .toml file, of the form in docs/suites.md, or the name of one that comes with unpoison. A trial that has
    a record is not run again. How long it will take is said before the first trial, from records of this kind of
    machine or a few steps of training.
    """
    from unpoison.bench.shipped import suite_path
    from unpoison.core.methods import trusting
    from unpoison.core.progress import progress_bar, write_line
    from unpoison.core.targets import check_place

    path = suite_path(suite)
    check_paths(path, root)
    check_place(out / "records")
    expected: list[Estimate] = []

    def tell(estimate: Estimate) -> None:
        expected.append(estimate)
        if not dry_run:
            write_line(f"unpoison: {estimate}")

    with trusting(trust), progress_bar(f"bench {path.stem}", unit="%") as on_step:
        from unpoison.bench.running import run_suite
        from unpoison.bench.suite import read_suite
        from unpoison.reporting.grid import make_grid
        from unpoison.reporting.tables import grid_tables

        grid_of = read_suite(path)
        about: dict[str, Any] = {"device": device, "precision": precision, "targets": targets, "dry_run": dry_run}
        records = run_suite(grid_of, out, root=root, on_step=on_step, on_estimate=tell, **about)
    if dry_run:
        options.answer(as_json, str(expected[0]), asdict(expected[0]))
        return
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


@bench.command(epilog=options.examples("unpoison bench compare results/cifar10-eclipse"))
@click.argument("folder", type=options.PATH)
@options.as_json
def compare(folder: Path, as_json: bool) -> None:
    """Print the figures of the suite in FOLDER beside published ones, and name what differs in the setting.

    The same is written to comparison.md and comparison.html in FOLDER.
    """
    check_paths(folder)
    from unpoison.core.files import write_text
    from unpoison.reporting.comparison.matching import compare as compare_grid
    from unpoison.reporting.comparison.tables import comparison_json, comparison_page, comparison_text
    from unpoison.reporting.grid import read_grid

    comparison = compare_grid(read_grid(folder))
    text = comparison_text(comparison)
    write_text(folder / "comparison.md", text)
    write_text(folder / "comparison.html", comparison_page(comparison))
    options.answer(as_json, text.rstrip(), {**comparison_json(comparison), "folder": str(folder)})
