"""What was done to a set, written beside it: enough to do it again, and no path of the machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from unpoison.core.errors import DataError

MANIFEST_FILE = "manifest.json"


class Step(BaseModel):
    """One thing done to a set.

    Args:
        action: `poison`, `purify` or `convert`.
        method: name of the method, or of the chain.
        settings: all its settings.
        seed: the run's seed.
        source: content hash of the set it was done to.
        result: content hash of the set it made.
        versions: package versions that decide the bytes.
        device: kind of device that computed.
        processor: what of it decides the last bits; empty in manifests of old.
        weights: sha256 of each weight file used, by name.
        facts: what was measured or decided on the way: achieved norms, kind of poison, target, ...
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: str
    method: str
    settings: dict[str, Any]
    seed: int
    source: str
    result: str
    versions: dict[str, str]
    device: str
    processor: str = ""
    weights: dict[str, str] = {}
    facts: dict[str, Any] = {}


class Manifest(BaseModel):
    """The history of a set from its first source.

    Args:
        name: name of the source that the last step was done to.
        format: format of that source.
        count: pictures in the set.
        per_class: pictures in each class.
        modes: how many pictures were stored in each mode before they became RGB.
        skipped: ids of bad pictures that were set aside.
        notes: what was left out of the source or read in another way, with how often.
        steps: oldest first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    format: str
    count: int
    per_class: dict[str, int]
    modes: dict[str, int] = {}
    skipped: list[str] = []
    notes: dict[str, int] = {}
    steps: list[Step]


def manifest_path(target: Path) -> Path:
    """Where the manifest of a set lies: inside a folder, beside a file."""
    return target / MANIFEST_FILE if target.is_dir() else target.with_name(f"{target.name}.{MANIFEST_FILE}")


def find_manifest(path: Path) -> Path:
    """The manifest that is meant by its own path, or by that of the set it lies with."""
    beside = manifest_path(path)
    return beside if path.is_dir() or beside.is_file() else path


def pack_manifest(manifest: Manifest) -> dict[str, bytes]:
    """A manifest as a file that lies with its set: name to content."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    return {MANIFEST_FILE: text.encode(errors="backslashreplace")}  # names of files need not be valid text


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        DataError: the file is missing or is not a manifest.
    """
    try:
        return Manifest.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise DataError(path, "there is no such manifest", "Name a manifest.json or X.manifest.json") from None
    except (ValueError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise DataError(path, f"this is not a manifest of unpoison ({first})", "Name the file made by a run") from None
