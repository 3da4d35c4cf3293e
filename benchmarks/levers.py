"""What each part of a defence is worth, alone and together: columns of a suite less those without the part.

python benchmarks/levers.py results/availability-core
"""

from __future__ import annotations

from pathlib import Path
from statistics import mean, median

import click

from unpoison.core.files import write_text
from unpoison.core.records import TrialRecord
from unpoison.reporting.grid import clean_control, read_grid

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

Trainings = dict[tuple[str, int], TrialRecord]  # of one column, by attack and seed


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
def main(folder: Path) -> None:
    """Write levers.md beside the records of a suite."""
    grid = read_grid(folder)
    columns: dict[str, Trainings] = {name: {} for name in grid.suite.defences}
    for record in grid.records:
        settings = record.settings
        columns[settings["defence"]][settings["attack"], settings["seed"]] = record
    lines = ["| part | added to | clean | mean | attacks | least | most | s |", "|---|---|---|---|---|---|---|---|"]
    for part, without, with_it in STEPS:
        gains = _gains(columns[without], columns[with_it])
        clean = gains.pop(clean_control(grid.suite))
        ranked = sorted(gains, key=lambda name: gains[name])
        least, most = (f"{gains[name]:+.1f} ({name})" for name in (ranked[0], ranked[-1]))
        before = _seconds(columns[without])
        seconds = f"{before:.0f}, {_seconds(columns[with_it]) or before:.0f}"
        figures = f"{clean:+.1f} | {mean(gains.values()):+.1f} | {len(gains)} | {least} | {most} | {seconds}"
        lines.append(f"| {part} | {without} | {figures} |")
    text = "\n".join([*lines, "", EXPLAINED])
    write_text(folder / "levers.md", text)
    click.echo(text)


def _gains(without: Trainings, with_it: Trainings) -> dict[str, float]:
    """Points more, row by row, the mean of the trainings that both have."""
    both = without.keys() & with_it.keys()
    return {
        row: mean(_points(with_it[key]) - _points(without[key]) for key in both if key[0] == row) for row in dict(both)
    }


def _points(record: TrialRecord) -> float:
    return 100 * record.metrics["accuracy"].value


def _seconds(trainings: Trainings) -> float:
    """Median time of purifying; a set that an earlier trial had purified took none."""
    return median([record.seconds["purify"] for record in trainings.values() if record.seconds["purify"]] or [0])


if __name__ == "__main__":
    main()
