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
    records = []
    for path in sorted(folder.glob("*.json")):
        try:
            records.append(TrialRecord.model_validate(read_json(path)))
        except (OSError, ValueError) as error:  # pydantic's is a ValueError too
            raise DataError(path, f"not a trial record ({str(error).splitlines()[0]})", "Move it away") from None
    return records
