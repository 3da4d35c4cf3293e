"""The demo on digits: a suite run as any other, and its page."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path

import numpy as np

from unpoison.bench.running import run_suite
from unpoison.bench.suite import read_suite
from unpoison.bench.workshop import Workshop
from unpoison.core.files import write_text
from unpoison.core.noise import Noise
from unpoison.core.pixels import to_float, to_uint8
from unpoison.core.settings import bound_value
from unpoison.reporting.grid import Grid, make_grid
from unpoison.reporting.pages import Strip, bars, page, strips
from unpoison.reporting.pictures import amplify_difference, tile_row
from unpoison.reporting.tables import describe_grid

_AMPLIFY = 2.0
_ZOOM = 4


@dataclass(frozen=True)
class DemoResult:
    """What the demo came to.

    Args:
        grid: all cells.
        page: the page of pictures.
    """

    grid: Grid
    page: Path

    def percent(self, attack: str, defence: str) -> float:
        """Test accuracy of a cell in %."""
        return round(100 * self.grid.cells[attack, defence].accuracy.value, 1)


def run_demo(out: Path, *, device: str = "auto") -> DemoResult:
    """Run the demo, or go on with it.

    Args:
        out: folder for records, intermediate sets and the page.
        device: where to compute.
    """
    with resources.as_file(resources.files("unpoison.demo") / "digits.toml") as path:
        suite = read_suite(path)
        grid = make_grid(suite, run_suite(path, out, device=device))
    target = out / suite.name / "page.html"
    write_text(target, _page(grid, _pictures(grid, out, device)))
    return DemoResult(grid, target)


def _pictures(grid: Grid, out: Path, device: str) -> list[Strip]:
    """One digit of each class on its way: clean, poisoned, noised, purified."""
    suite = grid.suite

    def bar(label: str, unit: str) -> AbstractContextManager:
        raise AssertionError(f"{label}: the suite has made everything already")

    workshop = Workshop(out / suite.name / "cache", device=device, bar=bar)
    clean = suite.read_set("train", None)
    seed = suite.seeds[0]
    model = workshop.fit(suite.models["denoiser"], suite.read_set("sparse", None))
    poisoned = workshop.poison(suite.attacks["lsp"].parts({}), clean, seed)
    purified = workshop.purify(suite.defences["purified"], {"model": model}, poisoned, seed)
    rows = [int(np.flatnonzero(clean.labels == label)[0]) for label in range(len(clean.class_names))]
    before = np.stack(clean.load(rows))
    bad = np.stack(poisoned.value.load(rows))
    after = np.stack(purified.value.load(rows))
    sigma = bound_value(suite.defences["purified"].set["sigma"])
    noisy = to_float(bad)
    noisy = noisy + sigma * Noise(seed, "purify", [clean.ids[row] for row in rows]).normal(noisy, "forward")
    return [
        Strip("As they were", tile_row(before, zoom=_ZOOM)),
        Strip(
            f"Poisoned: each class carries a colour pattern of its own, {suite.attacks['lsp'].set['epsilon']} (rms)",
            tile_row(bad, zoom=_ZOOM),
        ),
        Strip(
            f"What the poison added, {_AMPLIFY:g} times",
            tile_row(amplify_difference(bad, before, factor=_AMPLIFY), zoom=_ZOOM),
        ),
        Strip(
            f"With the noise that purification adds, sigma {255 * sigma:.0f}/255", tile_row(to_uint8(noisy), zoom=_ZOOM)
        ),
        Strip("Purified", tile_row(after, zoom=_ZOOM)),
        Strip(
            f"What is left between purified and clean, {_AMPLIFY:g} times",
            tile_row(amplify_difference(after, before, factor=_AMPLIFY), zoom=_ZOOM),
        ),
    ]


def _page(grid: Grid, pictures: list[Strip]) -> str:
    rows = [
        ("trained on clean digits", grid.cells["none", "none"], "good"),
        ("trained on poisoned digits", grid.cells["lsp", "none"], "bad"),
        ("poisoned, then JPEG-10", grid.cells["lsp", "jpeg-10"], ""),
        ("poisoned, then purified", grid.cells["lsp", "purified"], ""),
        ("clean, then JPEG-10 (its cost)", grid.cells["none", "jpeg-10"], ""),
        ("clean, then purified (its cost)", grid.cells["none", "purified"], ""),
    ]
    seconds = sum(record.seconds["train"] for record in grid.records)
    body = [
        f"<h1>{escape(grid.suite.title)}</h1>",
        "<p>Every training image was perturbed by an attacker; labels are right and the pictures still look like "
        "digits to you. A network trained on them learns the perturbation and not the digits. Purification adds noise "
        "that drowns the perturbation and removes it with a small diffusion model fitted on 200 clean digits.</p>",
        bars(rows),
        f'<p class="soft">{escape(describe_grid(grid))} The six trainings took {seconds:.0f} s.</p>',
        "<h2>What happened to the pictures</h2>",
        strips(pictures),
        '<p class="soft">Every figure comes from a record beside this page; its settings, seed, versions and data '
        "hashes remake it. The 200 clean digits are neither trained on nor scored.</p>",
    ]
    return page(grid.suite.title, "\n".join(body))
