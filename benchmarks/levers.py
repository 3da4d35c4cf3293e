"""What each part of a defence is worth, alone and together: columns of a suite less those without the part.

python benchmarks/levers.py results/availability-core
"""

from __future__ import annotations

from pathlib import Path
from statistics import mean, median

import click

from unpoison.core.files import write_text
from unpoison.reporting.grid import Grid, clean_control, read_grid
from unpoison.reporting.paired import Trials, accuracies

WHOLE = "despeckle+trim+cepstral-noise+fast"
# What is added, the column that it is added to, and the one that has it.
STEPS = (
    ("white noise and a smooth field, removed by `pocket` (`fast`)", "none", "fast"),
    ("specks removed before it (`despeckle`)", "fast", "despeckle+fast"),
    ("JPEG-25 in place of half of the noise", "despeckle+fast", "despeckle+jpeg+fast"),
    ("another draw in every epoch", "despeckle+fast", "fresh"),
    ("compensation in the training", "despeckle+fast", "despeckle+fast, compensation"),
    ("weights that anybody may use", "despeckle+fast", "pocket-free"),
    ("edges cut, cepstra drowned (`trim`, `cepstral-noise`)", "pocket-free", WHOLE),
    ("compensation in the training", WHOLE, f"{WHOLE}, compensation"),
    ("all of it but compensation", "none", WHOLE),
)

EXPLAINED = """\
Points of accuracy more with the part, in the trainings (attack and seed) that both columns have: on clean pictures, in
the mean over attacks, and on those that gain least and most. Seconds: what purifying takes in all for 10,000 pictures
in a training of 12 epochs, without and with the part; medians, on one thread of processors that may have had other
work.
"""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
def main(folder: Path) -> None:
    """Write levers.md beside the records of a suite."""
    grid = read_grid(folder)
    rows, clean = accuracies(grid), clean_control(grid.suite)
    spent = {name: _seconds(grid, name) for name in grid.suite.defences}
    lines = ["| part | added to | clean | mean | attacks | least | most | s |", "|---|---|---|---|---|---|---|---|"]
    for part, without, with_it in STEPS:
        gains = _gains(rows, without, with_it)
        if clean not in gains or len(gains) < 2:
            continue
        cost = gains.pop(clean)
        ranked = sorted(gains, key=lambda name: gains[name])
        least, most = (f"{gains[name]:+.1f} ({name})" for name in (ranked[0], ranked[-1]))
        seconds = f"{spent[without]:.0f}, {spent[with_it] or spent[without]:.0f}"
        figures = f"{cost:+.1f} | {mean(gains.values()):+.1f} | {len(gains)} | {least} | {most} | {seconds}"
        lines.append(f"| {part} | {without} | {figures} |")
    if len(lines) == 2:
        raise click.UsageError(f"{folder} has no two columns of {Path(__file__).name}: it is for availability-core")
    text = "\n".join([*lines, "", EXPLAINED])
    write_text(folder / "levers.md", text)
    click.echo(text)


def _gains(rows: dict[str, Trials], without: str, with_it: str) -> dict[str, float]:
    """Points more, row by row, the mean of the trainings that both columns have."""
    gains = {}
    for row, columns in rows.items():
        before, after = columns.get(without, {}), columns.get(with_it, {})
        if both := sorted(before.keys() & after.keys()):
            gains[row] = mean(after[one] - before[one] for one in both)
    return gains


def _seconds(grid: Grid, defence: str) -> float:
    """Median time of purifying; a set that an earlier trial had purified took none."""
    taken = [record.seconds["purify"] for record in grid.records if record.settings["defence"] == defence]
    return median(list(filter(None, taken)) or [0])


if __name__ == "__main__":
    main()
