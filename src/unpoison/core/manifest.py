"""The manifest beside a set: what was done to it, enough to do it again, and no path of the machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unpoison.core.documents import read_json
from unpoison.core.errors import DataError
from unpoison.core.validation import explain

MANIFEST_FILE = "manifest.json"

Text = Annotated[str, Field(max_length=1000)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{0,64}$")]
Count = Annotated[int, Field(ge=0, lt=2**63)]


class Step(BaseModel):
    """One thing done to a set.

    Args:
        action: `poison` or `purify`.
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

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    action: Literal["poison", "purify"]
    method: Text
    settings: dict[str, Any]
    seed: int = Field(ge=0, lt=2**63)
    source: Digest
    result: Digest
    versions: dict[str, Text]
    device: Text
    processor: Text = ""
    weights: dict[str, Digest] = {}
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

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    format: Text
    count: Count
    per_class: dict[str, Count]
    modes: dict[str, Count] = {}
    skipped: list[str] = []
    notes: dict[str, Count] = {}
    steps: list[Step] = Field(max_length=1000)


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
        return Manifest.model_validate(read_json(path))
    except FileNotFoundError:
        raise DataError(path, "there is no such manifest", "Name a manifest.json or X.manifest.json") from None
    except OSError as error:
        raise DataError(path, f"it cannot be read ({error.strerror})", "Check it and its permissions") from None
    except ValidationError as error:
        problem = explain(error, Manifest, of="this is not a manifest of unpoison")
    except ValueError as error:
        problem = f"this is not a manifest of unpoison: {error}"
    raise DataError(path, problem, "Name the file made by a run")
