"""Trial records: one JSON file per measured thing. Every table and page is made from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from unpoison.core.documents import read_json
from unpoison.core.errors import DataError
from unpoison.core.files import write_json
from unpoison.core.hashing import hash_json


class Metric(BaseModel):
    """One figure.

    Args:
        value: the figure; shares are between 0 and 1.
        n: its denominator (images scored).
        low: lower end of the 95 % interval.
        high: upper end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    n: int
    low: float
    high: float


class TrialRecord(BaseModel):
    """One trial, with all that remakes it.

    Args:
        id: first 16 digits of the hash of `settings` and `inputs`.
        suite: name of the suite.
        settings: what was asked: attack, defence, training, seed, ...
        inputs: content hashes of data and weights used.
        metrics: figures by name.
        details: further figures that carry no interval (per class, curves).
        versions: package versions.
        device: the device in words.
        precision: what `auto` stood for in the settings; None in records older than `auto`, which were made in bf16.
        seconds: time of each stage; 0 where an intermediate set was made by an earlier trial.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    suite: str
    settings: dict[str, Any]
    inputs: dict[str, str]
    metrics: dict[str, Metric]
    details: dict[str, Any] = {}
    versions: dict[str, str]
    device: str
    precision: Literal["fp32", "bf16"] | None = None
    seconds: dict[str, float]


def trial_id(settings: dict[str, Any], inputs: dict[str, str]) -> str:
    """The id of a trial: its settings and inputs, hashed."""
    return hash_json({"settings": settings, "inputs": inputs})[:16]


def write_record(folder: Path, record: TrialRecord) -> Path:
    """Write `<folder>/<id>.json` in one piece."""
    path = folder / f"{record.id}.json"
    write_json(path, record.model_dump(mode="json"))
    return path


def read_records(folder: Path) -> list[TrialRecord]:
    """All records of a folder, by file name.

    Raises:
        DataError: a file is not a record.
    """
    return [_read_record(path) for path in sorted(folder.glob("*.json"))]


class Records:
    """The records of a folder, each read once; other processes may write more meanwhile.

    Args:
        folder: where they lie.

    Raises:
        DataError: a file there is not a record.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._known = {record.id: record for record in read_records(folder)}

    def all(self) -> list[TrialRecord]:
        """Those that have been seen."""
        return list(self._known.values())

    def find(self, identity: str) -> TrialRecord | None:
        """The record of this id; None if nobody has written it yet.

        Raises:
            DataError: its file is not a record.
        """
        path = self._folder / f"{identity}.json"
        if identity not in self._known and path.exists():
            record = _read_record(path)
            self._known[record.id] = record
        return self._known.get(identity)

    def add(self, record: TrialRecord) -> None:
        """Write a record."""
        write_record(self._folder, record)
        self._known[record.id] = record


def _read_record(path: Path) -> TrialRecord:
    try:
        return TrialRecord.model_validate(read_json(path))
    except (OSError, ValueError) as error:  # pydantic's is a ValueError too
        raise DataError(path, f"not a trial record ({str(error).splitlines()[0]})", "Move it elsewhere") from None
