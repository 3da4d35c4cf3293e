"""The machine that a benchmark runs on: what its record says, what the record is called, what it can time."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch

from unpoison.core.device import describe_device, processor, versions
from unpoison.core.precision import choose_precision

# By these a processor plays an older one: its instructions, not its caches and clock.
_PLAYS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")
PLAYED = f"Played: a newer processor, held to the instructions of an older one by {' and '.join(_PLAYS)}."


def describe(place: torch.device) -> dict[str, Any]:
    """What a record says of the machine."""
    return {
        "device": describe_device(place),
        "processor": processor(place, "bf16"),
        "plays": {name: os.environ[name] for name in _PLAYS if name in os.environ},
        "auto": choose_precision(place).precision,
        "versions": versions(),
    }


def kind(record: dict[str, Any]) -> str:
    """The kind of processor in a table; one that is played has no native bf16, whatever the real one has."""
    return f"{record['processor'].removesuffix(' with bf16')} (played)" if record["plays"] else record["processor"]


def file_name(record: dict[str, Any]) -> str:
    """The record's name: a folder holds one for each kind of processor."""
    return "".join(letter for letter in kind(record).lower().replace(" ", "-") if letter.isalnum() or letter in "-_")


def read_all(folder: Path) -> list[dict[str, Any]]:
    """The records of all kinds of processors in a folder."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def precisions(record: dict[str, Any]) -> list[str]:
    """What is worth timing: bf16 only where it is not emulated."""
    return ["fp32", "bf16"] if record["auto"] == "bf16" else ["fp32"]
