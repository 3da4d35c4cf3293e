"""The demos on digits: a suite run as any other, and its page."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path

from unpoison.bench.arithmetic import Arithmetic
from unpoison.bench.cache import Cache
from unpoison.bench.running import run_suite
from unpoison.bench.suite import read_suite
from unpoison.bench.workshop import Workshop
from unpoison.core.files import write_text
from unpoison.core.progress import OnStep
from unpoison.core.settings import PrecisionOrInt8
from unpoison.demo.methods import CLEAN, JPEG, METHODS, POISONED, PURIFIED, UNDEFENDED, check_names
from unpoison.demo.pictures import draw_pictures
from unpoison.reporting.grid import Grid, make_grid
from unpoison.reporting.pages import Strip, bars, page, strips
from unpoison.reporting.tables import describe_grid


@dataclass(frozen=True)
class DemoResult:
    """What the demo came to.

    Args:
        grid: all cells.
        page: the page of pictures.
    """

    grid: Grid
    page: Path

    def percents(self) -> dict[str, float]:
        """Test accuracies in %."""
        cells = {
            "clean": (CLEAN, UNDEFENDED),
            "poisoned": (POISONED, UNDEFENDED),
            "jpeg": (POISONED, JPEG),
            "purified": (POISONED, PURIFIED),
        }
        return {name: round(100 * self.grid.cells[cell].accuracy.value, 1) for name, cell in cells.items()}


def run_demo(
    out: Path,
    *,
    method: str = "fast",
    device: str = "auto",
    precision: PrecisionOrInt8 | None = None,
    on_step: OnStep | None = None,
) -> DemoResult:
    """Run a demo, or go on with it.

    Args:
        out: folder for records, intermediate sets and the page; each demo has a folder of its own in it.
        method: the purifier to show, one of `demo.methods`.
        device: where to compute.
        precision: of every network; that of the suite, or `auto`, if left out.
        on_step: called as the work goes on, with the share that is done.
    """
    demo = METHODS[method]
    with resources.as_file(resources.files("unpoison.demo") / demo.suite) as path:
        suite = read_suite(path)
        check_names(suite.name, suite.attacks, suite.defences)
        records = run_suite(suite, out, device=device, precision=precision, on_step=on_step)
    grid, folder = make_grid(suite, records), out / suite.name
    arithmetic = Arithmetic(device, asked=precision, fixed=suite.precision, begun=records)
    workshop = Workshop(Cache(folder / "cache"), device=device, bar=_no_bar, arithmetic=arithmetic)
    pictures = draw_pictures(suite, workshop)
    target = folder / "page.html"
    write_text(target, _page(grid, demo.how, pictures))
    return DemoResult(grid, target)


def _no_bar(label: str, unit: str, *, is_trial: bool = False) -> AbstractContextManager[OnStep]:
    raise AssertionError(f"{label}: the suite has made everything already")


def _page(grid: Grid, how: str, pictures: list[Strip]) -> str:
    rows = [
        ("trained on clean digits", grid.cells[CLEAN, UNDEFENDED], "good"),
        ("trained on poisoned digits", grid.cells[POISONED, UNDEFENDED], "bad"),
        ("poisoned, then JPEG-10", grid.cells[POISONED, JPEG], ""),
        ("poisoned, then purified", grid.cells[POISONED, PURIFIED], ""),
        ("clean, then JPEG-10 (its cost)", grid.cells[CLEAN, JPEG], ""),
        ("clean, then purified (its cost)", grid.cells[CLEAN, PURIFIED], ""),
    ]
    seconds = sum(sum(record.seconds.values()) for record in grid.records)
    body = [
        f"<h1>{escape(grid.suite.title)}</h1>",
        "<p>Every training image was perturbed by an attacker; labels are right and the pictures still look like "
        f"digits to you. A network trained on them learns the perturbation and not the digits. {escape(how)}</p>",
        bars(rows),
        f'<p class="soft">{escape(describe_grid(grid))} Poisoning, fitting, purifying and the six trainings took '
        f"{seconds:.0f} s.</p>",
        "<h2>What happened to the pictures</h2>",
        strips(pictures),
        '<p class="soft">Every figure comes from a record beside this page; its settings, seed, versions and data '
        "hashes remake it. The 200 clean digits are neither trained on nor scored.</p>",
    ]
    return page(grid.suite.title, "\n".join(body))
