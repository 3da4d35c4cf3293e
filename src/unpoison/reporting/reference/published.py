"""Published figures: one file a paper, which keeps values, settings and where each was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from unpoison.core.documents import read_toml

Measure = Literal["accuracy", "success", "worst"]
Rows = dict[str, dict[str, float]]
NOT_STATED = "?"


class _Section(BaseModel):
    """A section of the file: its fields and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PublishedAttack(_Section):
    """What a paper's name of an attack is here.

    Args:
        attack: name of the attack; empty for the clean set.
        set: fields of its settings that tell the paper's variants apart.
        share: of the training pictures that are poisoned.
        other: what it is, if unpoison has no such attack.
    """

    attack: str = ""
    set: dict[str, Any] = {}
    share: float | None = None
    other: str = ""


class PublishedDefence(_Section):
    """What a paper's name of a defence is here.

    Args:
        purify: purifier, chains with `+`; empty for none.
        set: fields of its settings, or of the train-time defence's, without which it would be another defence; `?`
            where the paper does not state a value.
        defence: train-time defence.
        train: settings of the training that belong to the defence, such as those of the compensation.
        fit: settings of the fit of its model, on top of those that the paper's file gives for the purifier.
        other: what it is, if unpoison has no such defence.
    """

    purify: str = ""
    set: dict[str, Any] = {}
    defence: str = ""
    train: dict[str, Any] = {}
    fit: dict[str, Any] = {}
    other: str = ""


class PublishedPurifier(_Section):
    """What all defences of a paper that use a purifier share.

    Args:
        network: of the purifier, in words.
        fit: settings of its fit.
    """

    network: str = ""
    fit: dict[str, Any] = {}


class Setting(_Section):
    """Under what circumstances a table was measured; what is left out is not stated.

    Args:
        dataset: its name.
        images: training pictures.
        test_images: pictures that accuracy is measured on.
        trainings: a cell; of attacks with several targets, for each of them.
        train: settings of the training by their names here.
        note: what else differs from a suite of unpoison.
    """

    dataset: str = ""
    images: int | None = None
    test_images: int | None = None
    trainings: int | None = None
    train: dict[str, Any] = {}
    note: str = ""


class Table(_Section):
    """One table.

    Args:
        name: in the paper.
        source: where it was read.
        unverified: why its figures may not be printed as facts; empty where they were read in the source itself.
        setting: of all its cells, on top of that of the paper.
        accuracy: in %, defence -> attack -> figure; the others likewise.
        accuracy_deviation: over the trainings.
        success: of the attack; with several targets or target classes the mean.
        success_deviation: over the targets.
        worst: success at the worst target class.
    """

    name: str
    source: str
    unverified: str = ""
    setting: Setting = Setting()
    accuracy: Rows = {}
    accuracy_deviation: Rows = {}
    success: Rows = {}
    success_deviation: Rows = {}
    worst: Rows = {}


class Paper(_Section):
    """The file of a paper.

    Args:
        name: short.
        paper: authors, title and year.
        link: to it.
        attacks: its names, and what they are here.
        defences: likewise.
        purifiers: by unpoison's name, what the defences that use it share.
        setting: of all tables.
        tables: its tables.
    """

    name: str
    paper: str
    link: str = ""
    attacks: dict[str, PublishedAttack]
    defences: dict[str, PublishedDefence]
    purifiers: dict[str, PublishedPurifier] = {}
    setting: Setting = Setting()
    tables: list[Table] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_names(self) -> Paper:
        for table in self.tables:
            for measure in ("accuracy", "accuracy_deviation", "success", "success_deviation", "worst"):
                rows: Rows = getattr(table, measure)
                unknown = {*rows}.difference(self.defences)
                unknown |= {attack for row in rows.values() for attack in row}.difference(self.attacks)
                if unknown:
                    raise ValueError(f"{table.name} names {min(unknown)}, which the file does not explain")
        return self


@dataclass(frozen=True)
class Figure:
    """One published figure.

    Args:
        paper: that it is from.
        table: that it is from.
        measure: what it measures.
        attack: the paper's name of the attack.
        defence: the paper's name of the defence.
        value: in %.
        deviation: over trainings or targets; None if it is not stated.
    """

    paper: Paper
    table: Table
    measure: Measure
    attack: str
    defence: str
    value: float
    deviation: float | None

    @property
    def of_attack(self) -> PublishedAttack:
        """What the attack is here."""
        return self.paper.attacks[self.attack]

    @property
    def of_defence(self) -> PublishedDefence:
        """What the defence is here."""
        return self.paper.defences[self.defence]

    @property
    def purifier(self) -> PublishedPurifier:
        """The purifier of the defence: what all share, with what is this one's own."""
        shared = self.paper.purifiers.get(self.of_defence.purify, PublishedPurifier())
        return shared.model_copy(update={"fit": {**shared.fit, **self.of_defence.fit}})

    @property
    def setting(self) -> Setting:
        """Under what circumstances it was measured."""
        common, own = self.paper.setting, self.table.setting
        fields = {name: getattr(own, name) for name in own.model_fields_set}
        return common.model_copy(update={**fields, "train": {**common.train, **own.train}})


def read_papers() -> list[Paper]:
    """Every paper whose figures come with unpoison, by file name."""
    folder = Path(str(resources.files("unpoison.reporting.reference") / "figures"))
    return [Paper.model_validate(read_toml(path)) for path in sorted(folder.glob("*.toml"))]


def each_figure(paper: Paper) -> Iterator[Figure]:
    """The figures of a paper, in the order of its file."""
    for table in paper.tables:
        rows: dict[Measure, tuple[Rows, Mapping[str, dict[str, float]]]] = {
            "accuracy": (table.accuracy, table.accuracy_deviation),
            "success": (table.success, table.success_deviation),
            "worst": (table.worst, {}),
        }
        for measure, (values, deviations) in rows.items():
            for defence, row in values.items():
                for attack, value in row.items():
                    deviation = deviations.get(defence, {}).get(attack)
                    yield Figure(paper, table, measure, attack, defence, value, deviation)
