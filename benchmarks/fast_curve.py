"""Draw how accuracy depends on the noise of `fast`, from the records of the suite that chose its settings.

python benchmarks/fast_curve.py results/fast-tuning --out docs/fast-curve.png
"""

from __future__ import annotations

from pathlib import Path

import click
from matplotlib.figure import Figure

from unpoison.core.settings import bound_value
from unpoison.reporting.grid import Grid, read_grid

NAMES = {"none": "clean", "lsp": "LSP (low frequency)", "tap": "TAP (high frequency)"}
COLOURS = {"none": "#5d6b7e", "lsp": "#c46a1b", "tap": "#2f6db3"}


@click.command()
@click.argument("suite", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(suite: Path, out: Path) -> None:
    grid = read_grid(suite)
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    draw(left, grid, title="white noise alone, one call", by="sigma", fixed={"field": "0/255"})
    draw(right, grid, title="white noise of 12/255 and a smooth field, one call", by="field", fixed={"sigma": "12/255"})
    left.set_ylabel("accuracy on held-out images, %")
    left.legend(fontsize=8)
    figure.savefig(out, dpi=130)


def draw(axes, grid: Grid, *, title: str, by: str, fixed: dict[str, str]) -> None:
    """Accuracy over one setting, a line per attack; undefended and JPEG-10 as dotted and dashed lines."""
    chosen = {
        name: defence
        for name, defence in grid.suite.defences.items()
        if defence.purify == "fast"
        and not defence.train_profile
        and defence.set.get("steps", 1) == 1
        and all(defence.set.get(key) == value for key, value in fixed.items())
    }
    for attack, label in NAMES.items():
        points = sorted(
            (255 * bound_value(defence.set[by]), 100 * grid.cells[attack, name].accuracy.value)
            for name, defence in chosen.items()
            if (attack, name) in grid.cells
        )
        axes.plot(*zip(*points, strict=True), marker="o", color=COLOURS[attack], label=label)
        for control, style in (("none", ":"), ("jpeg-10", "--")):
            level = 100 * grid.cells[attack, control].accuracy.value
            axes.axhline(level, color=COLOURS[attack], linestyle=style, linewidth=1, alpha=0.7)
    axes.set(title=title, xlabel=f"{by} * 255")
    axes.title.set_fontsize(9)
    axes.grid(alpha=0.25)


if __name__ == "__main__":
    main()
