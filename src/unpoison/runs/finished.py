"""A target that is there already: whether it is what a run would make."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

from unpoison.core.chains import join_fields, split_chain
from unpoison.core.errors import DataError, RunError, SettingsError
from unpoison.core.hashing import hash_picture, hash_pictures
from unpoison.core.images import ImageSet
from unpoison.core.manifest import Manifest, Step, manifest_path, read_manifest
from unpoison.core.progress import telling
from unpoison.data import default_format, read
from unpoison.purifiers.methods import METHODS
from unpoison.purifiers.settings import settings_model
from unpoison.runs.parts import Part, hold_assembly, hold_part
from unpoison.runs.run import PurifyRun
from unpoison.runs.store import read_header, remove
from unpoison.runs.work import Work

# What a run is known by, in its header and in its entry of the manifest.
_ASKED = ("method", "settings", "seed", "weights")


def read_finished(work: Work, run: PurifyRun, target: Path) -> Manifest:
    """The manifest of a target that is there, if this very run made it from these very pictures.

    Both sets are read: neither the source nor what was made of it may have changed since.

    Args:
        work: the run on its set.
        run: the same as it was asked for: where it leaves arithmetic or seed open, those of the target will do.
        target: folder or file.

    Raises:
        RunError: something else lies there; says what.
    """
    there = f"{target} is already there"
    choose = "remove it, choose another name, or replace it with --overwrite"
    manifest = _manifest_of(target)
    if manifest is None or not manifest.steps:
        raise RunError(f"{there}, and no manifest of unpoison tells what it is; remove it or choose another name")
    step = manifest.steps[-1]
    asked = run.seeded_as(step.seed).resolved(work.device, step.settings)
    header = {**work.header(), "settings": asked.describe(), "seed": asked.seed}
    if step.action != "purify" or any(getattr(step, key) != header[key] for key in _ASKED):
        raise RunError(f"{there}, made by `{command(step, manifest.name, target)}`; {choose}")
    with telling(f"comparing {target} with the pictures"):
        if step.source != work.source.content_hash:
            raise RunError(f"{there}, made in the same way from other pictures or labels than now; {choose}")
        try:
            found = read(target, format=default_format(work.image_set.format, target))
            same = _content_hash(found, work.image_set) == step.result
        except (DataError, SettingsError):
            same = False
    if not same:
        raise RunError(f"{there}, but its pictures are no longer those that its manifest tells of; {choose}")
    return manifest


def check_replaceable(target: Path) -> None:
    """Keep people's own folders and files from being replaced.

    Raises:
        RunError: no manifest of ours lies with it.
    """
    if _manifest_of(target) is None:
        raise RunError(f"no manifest tells that unpoison made {target}, so it is not replaced; remove it yourself")


def remove_leftovers(work: Work, folder: Path) -> None:
    """Remove the folder of a run that was killed just before it would have done so; that of another run stays."""
    if not folder.is_dir():
        return
    with suppress(RunError), hold_part(folder, Part()), hold_assembly(folder):
        found, header = read_header(folder), work.header()
        if found is None or all(found.get(key) == header[key] for key in (*_ASKED, "source")):
            remove(folder)


def command(step: Step, source: str, target: Path) -> str:
    """The command that did a step, without what it had from defaults."""
    words = ["unpoison", step.action, source, target.name]
    words += ["--attack" if step.action == "poison" else "--method", step.method]
    words += [word for name, value in _chosen(step).items() for word in ("--set", f"{name}={value}")]
    if step.action == "purify" and "copies" in step.settings:
        words += ["--copies", str(step.settings["copies"])]
    # A purification without --seed draws one.
    return shlex.join([*words, *(["--seed", str(step.seed)] if step.seed or step.action == "purify" else [])])


def _chosen(step: Step) -> dict[str, Any]:
    """The settings of a purification that are not the defaults."""
    if step.action != "purify":
        return {}
    chosen: dict[str, dict[str, Any]] = {}
    for link in split_chain(step.method):
        fields = step.settings.get(link)
        # The manifest may be anybody's: nothing from elsewhere is imported for it.
        defaults = settings_model(link)().model_dump(mode="json") if link in METHODS else {}
        given = fields.items() if isinstance(fields, dict) else ()
        chosen[link] = {name: value for name, value in given if value != defaults.get(name)}
    return join_fields(chosen)


def _manifest_of(target: Path) -> Manifest | None:
    path = manifest_path(target)
    try:
        return read_manifest(path) if os.path.lexists(path) else None
    except DataError:
        return None


def _content_hash(found: ImageSet, source: ImageSet) -> str:
    """Content hash of a set that was made; a flat folder stores no labels, which are then those of the source."""
    if len(found) != len(source) or (found.labels >= 0).any():
        return found.content_hash
    labels = source.labels.tolist()
    return hash_pictures(hash_picture(found.picture(row).rgb, label) for row, label in enumerate(labels))
