"""`unpoison demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from unpoison.cli import options
from unpoison.demo.methods import METHODS

if TYPE_CHECKING:
    from unpoison.core.settings import PrecisionOrInt8


@click.command(epilog=options.examples("unpoison demo", "unpoison demo --method puregen-ebm --out demo-ebm"))
@click.option("--out", type=options.PATH, default=Path("unpoison-demo"), show_default=True, help="Folder for results.")
@click.option("--method", type=click.Choice(list(METHODS)), default="fast", show_default=True, help="What purifies.")
@options.together(options.device, options.precision, options.threads, options.as_json)
def demo(out: Path, method: str, device: str, precision: PrecisionOrInt8 | None, as_json: bool) -> None:
    """Poison, purify, train and score a small real image set, and draw a page of what happened."""
    from unpoison.core.progress import progress_bar, write_line
    from unpoison.core.targets import check_place

    check_place(out / "records")
    write_line(
        f"Handwritten digits, poisoned and purified with {method}: a classifier is trained on each kind, six in all"
    )
    with progress_bar("demo", unit="%") as on_step:
        from unpoison.demo.digits import run_demo
        from unpoison.reporting.tables import accuracy_table, describe_grid

        result = run_demo(out, method=method, device=device, precision=precision, on_step=on_step)
    figures = result.percents()
    text = (
        f"{accuracy_table(result.grid)}\n{describe_grid(result.grid)}\n\n"
        f"trained on clean digits     {figures['clean']:5.1f} %\n"
        f"trained on poisoned digits  {figures['poisoned']:5.1f} %\n"
        f"poisoned, JPEG quality 10   {figures['jpeg']:5.1f} %\n"
        f"poisoned, then purified     {figures['purified']:5.1f} %\n\n"
        f"pictures: {result.page}"
    )
    options.answer(as_json, text, {**figures, "page": str(result.page)})
