"""A cell of a suite, told so that it can be held against a published one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from unpoison.core.chains import split_chain
from unpoison.core.records import Metric, TrialRecord
from unpoison.reporting.grid import Cell, Grid
from unpoison.reporting.reference.datasets import dataset_name
from unpoison.reporting.reference.published import Measure
from unpoison.scoring.intervals import mean_over_trials

_COMPENSATION = ("grayscale_probability", "noise_sigma")


@dataclass(frozen=True)
class OurCell:
    """One attack under one defence, as the records tell it.

    Args:
        row: name of the attack in the suite.
        column: name of the defence in the suite.
        record: one of its trials; the others differ in seed and case.
        cell: its figures.
        dataset: what it was measured on.
        trainings: a seed and case is one.
        covers: whether the column covers a part of each picture, as the defence cutout; some recipes do so anyway.
    """

    row: str
    column: str
    record: TrialRecord
    cell: Cell
    dataset: str
    trainings: int
    covers: bool = False

    @property
    def attack(self) -> str:
        """Name of the attack; empty for the clean set."""
        name: str = self.record.settings["poison"].get("attack", "")
        return name

    @property
    def poison(self) -> Mapping[str, Any]:
        """Settings of the attack."""
        settings: dict[str, Any] = self.record.settings["poison"]
        return settings

    @property
    def share(self) -> float | None:
        """Share of the training pictures that are poisoned; None if the records do not tell."""
        facts = self.record.details.get("poison", {})
        if "images" not in facts:
            return None
        share: float = facts["images"] / self.record.details["train_images"]
        return share

    @property
    def purifier(self) -> str:
        """Name of the purifier, chains with `+`; empty for none."""
        name: str = self.record.settings["purify"].get("method", "")
        return name

    @property
    def purify(self) -> dict[str, Any]:
        """Settings of the purifier; those of a chain as `purifier.field`."""
        links = [link for link in split_chain(self.purifier) if link]
        purify = self.record.settings["purify"]
        return {
            f"{link}.{field}" if len(links) > 1 else field: value
            for link in links
            for field, value in purify[link].items()
        }

    @property
    def train(self) -> dict[str, Any]:
        """Settings of the training."""
        return {"mode": "scratch", **self.record.settings["train"]}

    @property
    def defence(self) -> str:
        """Name of the train-time defence, several with `+`; empty for none. Compensation goes by its settings."""
        return "+".join([*self.train.get("defence", {}), *(["cutout"] if self.covers else [])])

    @property
    def defence_settings(self) -> Mapping[str, Any]:
        """Settings of the train-time defence, if it is one alone that has some."""
        found = list(self.train.get("defence", {}).values())
        return found[0] if len(found) == 1 else {}

    @property
    def fit(self) -> dict[str, Any]:
        """Settings of the fit of the purifier's model; empty if the suite fits none."""
        return {**self.record.settings["fit"]}

    @property
    def compensates(self) -> tuple[bool, ...]:
        """Whether the training turns pictures grey, and whether it adds noise."""
        return tuple(bool(self.train.get(name)) for name in _COMPENSATION)

    def measure(self, name: Measure) -> Metric | None:
        """Its own figure of this kind, a share; None if it has none."""
        if name == "accuracy":
            return self.cell.accuracy
        success = self.cell.success
        if success is None:
            return None
        if success.targeted:
            return success.targeted if name == "success" else None
        reached = success.triggered["success_x1"]
        if name == "worst":
            return Metric(value=max(reached), n=len(reached), low=max(reached), high=max(reached))
        if len(reached) > 1:
            return mean_over_trials(reached)
        return self.record.metrics["success_x1"].model_copy(update={"value": fmean(reached)})


def compensation_of(train: Mapping[str, Any]) -> tuple[bool, ...]:
    """`OurCell.compensates` of published settings."""
    return tuple(bool(train.get(name)) for name in _COMPENSATION)


def our_cells(grid: Grid) -> list[OurCell]:
    """The cells of a suite that have records, row by row."""
    trials: dict[tuple[str, str], list[TrialRecord]] = defaultdict(list)
    for record in grid.records:
        trials[record.settings["attack"], record.settings["defence"]].append(record)
    return [
        OurCell(
            row,
            column,
            found[0],
            grid.cells[row, column],
            dataset_name(grid.suite, found[0]),
            len(found),
            covers="cutout" in [*split_chain(defence.train), *defence.train_profile],
        )
        for row in grid.suite.attacks
        for column, defence in grid.suite.defences.items()
        if (found := trials.get((row, column)))
    ]
