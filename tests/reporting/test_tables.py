"""The table of a suite: few defences across, many of them down."""

from __future__ import annotations

from unpoison.bench.sections import Attack, Defence
from unpoison.bench.suite import Suite
from unpoison.core.records import Metric, TrialRecord
from unpoison.reporting.grid import Cell, Grid
from unpoison.reporting.tables import accuracy_table, describe_grid, grid_tables, speed_table


def make_grid(defences: int) -> Grid:
    names = [f"d{number}" for number in range(defences)]
    suite = Suite(
        name="s",
        sets={"train": "a", "test": "b"},
        attacks={"none": Attack(), "lsp": Attack(attack="lsp")},
        defences={name: Defence() for name in names},
    )
    cell = Cell(Metric(value=0.5, n=100, low=0.4, high=0.6), 0.5, 1, None)
    return Grid(suite, {("none", "d0"): cell, **{("lsp", name): cell for name in names[1:]}}, [])


def test_few_defences_stand_across_and_a_missing_cell_is_marked():
    lines = accuracy_table(make_grid(3)).splitlines()
    assert lines[0] == "| attack | d0 | d1 | d2 |"
    assert lines[3].startswith("| lsp | ")
    assert lines[3].count("50.0") == 2
    assert lines[2] == "| none | 50.0 ± 10.0 | - | - |"


def test_rows_and_columns_that_were_not_run_are_named_below():
    grid = make_grid(3)
    grid = Grid(grid.suite, {key: cell for key, cell in grid.cells.items() if key == ("lsp", "d1")}, [timed("d1", 1.0)])
    assert accuracy_table(grid) == "| attack | d1 |\n|---|---|\n| lsp | 50.0 ± 10.0 |\n"
    assert describe_grid(grid).endswith("Device: cpu. Not run yet: none, d0, d2.")


def test_many_defences_stand_down():
    lines = accuracy_table(make_grid(12)).splitlines()
    assert lines[0] == "| defence | none | lsp |"
    assert len(lines) == 14
    assert lines[-1].startswith("| d11 | ")
    assert lines[-1].endswith("50.0 ± 10.0 |")


def timed(defence: str, seconds: float) -> TrialRecord:
    return TrialRecord(
        id="0" * 16,
        suite="s",
        settings={"attack": "lsp", "defence": defence},
        inputs={},
        metrics={"accuracy": Metric(value=0.5, n=100, low=0.4, high=0.6)},
        details={"train_images": 1000},
        versions={},
        device="cpu",
        seconds={"purify": seconds},
    )


def test_the_speed_of_each_column_where_the_suite_asks_for_it():
    grid = make_grid(3)
    records = [timed("d1", 2.0), timed("d1", 4.0), timed("d1", 1.0), timed("d1", 0.0), timed("d2", 0.0)]
    grid = Grid(grid.suite.model_copy(update={"speed": True}), grid.cells, records)
    assert speed_table(grid).splitlines()[2:4] == ["| d1 | 500 | 3 |", ""]
    assert "pictures a second" in grid_tables(grid)
    assert "pictures a second" not in grid_tables(Grid(make_grid(3).suite, grid.cells, records))
