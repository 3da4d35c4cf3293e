"""A grid as a Markdown table."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from statistics import median

from unpoison.core.files import write_text
from unpoison.reporting.grid import Cell, Grid
from unpoison.reporting.paired import detectable_differences, paired_table
from unpoison.reporting.success import describe_success, success_table

_MOST_COLUMNS = 8  # a wider table is turned: defences down, attacks across


def grid_tables(grid: Grid) -> str:
    """All that a suite's table.md says: accuracies, attack success where there is any, and what the figures are."""
    found = {key: cell.success for key, cell in grid.cells.items()}
    table = success_table(grid.suite, found)
    parts = [detectable_differences(grid), accuracy_table(grid), f"{describe_grid(grid)}\n", paired_table(grid)]
    text = "\n".join(part for part in parts if part)
    if table:
        text += f"\n{table}\n{describe_success([success for success in found.values() if success])}\n"
    return text + (f"\n{speed_table(grid)}" if grid.suite.speed else "")


def speed_table(grid: Grid) -> str:
    """Pictures a second of each column's purifier, by the median of the trials whose set was purified for them."""
    rates: dict[str, list[float]] = defaultdict(list)
    for record in grid.records:
        if seconds := record.seconds.get("purify"):  # 0 where the set was there already
            pictures = record.details["train_images"] * record.details.get("draws", 1)
            rates[record.settings["defence"]].append(pictures / seconds)
    lines = ["| defence | pictures a second | timed |", "|---|---|---|"]
    lines += [
        f"| {name} | {median(rates[name]):,.4g} | {len(rates[name])} |" for name in grid.suite.defences if rates[name]
    ]
    return "\n".join(lines) + "\n\nPurification alone, on the device above; fitting of models is not counted.\n"


def write_grid_tables(folder: Path, grid: Grid) -> Path:
    """Write a suite's table.md beside its records."""
    path = folder / "table.md"
    write_text(path, grid_tables(grid))
    return path


def accuracy_table(grid: Grid) -> str:
    """Test accuracy in % ± half the width of the 95 % interval; attacks down, defences across if they are few.

    Without the rows and columns that have no record yet.
    """
    attacks = [name for name in grid.suite.attacks if any(attack == name for attack, _ in grid.cells)]
    defences = [name for name in grid.suite.defences if any(defence == name for _, defence in grid.cells)]
    turned = len(defences) > _MOST_COLUMNS
    down, across = (defences, attacks) if turned else (attacks, defences)

    def show(row: str, column: str) -> str:
        return _show(grid.cells.get((column, row) if turned else (row, column)))

    lines = [
        f"| {'defence' if turned else 'attack'} | {' | '.join(across)} |",
        f"|---|{'---|' * len(across)}",
        *(f"| {row} | {' | '.join(show(row, column) for column in across)} |" for row in down),
    ]
    return "\n".join(lines) + "\n"


def describe_grid(grid: Grid) -> str:
    """What the figures of a grid are: definition, denominator, trials, interval, device."""
    seeds = sorted({cell.seeds for cell in grid.cells.values()})
    images = grid.records[0].metrics["accuracy"].n
    train = grid.records[0].details["train_images"]
    over_images = (
        "95 % Wilson intervals over the test images of one training; the spread between trainings is not in them"
    )
    over_trainings = "95 % t intervals over trainings"
    interval = f"Intervals are {over_images if seeds == [1] else over_trainings}."
    if seeds[0] == 1 and len(seeds) > 1:
        interval = f"Intervals of cells with one training are {over_images}; of the others, {over_trainings}."
    begun = {name for key in grid.cells for name in key}
    missing = [name for name in (*grid.suite.attacks, *grid.suite.defences) if name not in begun]
    not_run = f" Not run yet: {', '.join(missing)}." if missing else ""
    return (
        f"Accuracy in % after the last epoch: share of {images:,} clean test images named correctly, "
        f"{train:,} training images, trainings a cell: {'/'.join(map(str, seeds))}. {interval} "
        f"Device: {', '.join(sorted({record.device for record in grid.records}))}.{not_run}"
    )


def _show(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    accuracy = cell.accuracy
    return f"{100 * accuracy.value:.1f} ± {50 * (accuracy.high - accuracy.low):.1f}"
