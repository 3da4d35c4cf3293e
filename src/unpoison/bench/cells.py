"""The trials of a suite by row, column, seed and case."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from unpoison.bench.suite import Suite
from unpoison.core.errors import SettingsError


@dataclass(frozen=True)
class Cell:
    """One trial of the grid.

    Args:
        attack: name of the row.
        defence: name of the column.
        seed: of poison, purification and training.
        case: which of the attack's cases.
    """

    attack: str
    defence: str
    seed: int
    case: int = 0


def list_cells(suite: Suite, targets: Collection[int] | None = None) -> list[Cell]:
    """The trials of a suite, in the order in which they are run.

    Args:
        suite: the grid.
        targets: as for `run_suite`.

    Raises:
        SettingsError: none of its attacks has a case with one of the numbers.
    """
    numbers = {name: _case_numbers(suite, name, targets) for name in suite.attacks}
    if unknown := set(targets or ()).difference(*numbers.values()):
        raise SettingsError(
            f"suite {suite.name} has no case number {min(unknown)}; "
            f"its attacks have {max(len(attack.each_case()) for attack in suite.attacks.values())} at most, from 0"
        )
    seeds = sorted({*suite.seeds, *(seed for defence in suite.defences.values() for seed in defence.seeds or ())})
    return [
        Cell(attack, name, seed, number)
        for seed in seeds
        for attack in suite.attacks
        for number in numbers[attack]
        for name, defence in suite.defences.items()
        if seed in (suite.seeds if defence.seeds is None else defence.seeds)
    ]


def _case_numbers(suite: Suite, attack: str, targets: Collection[int] | None) -> list[int]:
    """Which cases of an attack are run; one without cases, the control among them, always is."""
    numbers = range(len(suite.attacks[attack].each_case()))
    if targets is None or not suite.attacks[attack].cases:
        return list(numbers)
    return [number for number in numbers if number in targets]
