"""`auto`: the purification that an audit of a set advises, chosen once for a run, however often it is stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unpoison.auditing.advice import advise, check_reference
from unpoison.auditing.audit import audit_set
from unpoison.auditing.candidates import Candidate, find_candidate
from unpoison.auditing.telling import tell
from unpoison.core.documents import read_json
from unpoison.core.errors import DataError, RunError, SettingsError, UnpoisonError
from unpoison.core.files import write_json, writing
from unpoison.core.hashing import hash_json
from unpoison.core.images import ImageSet
from unpoison.core.locks import wait_for_lock
from unpoison.core.manifest import manifest_path, read_manifest
from unpoison.core.progress import OnStep
from unpoison.core.settings import Settings
from unpoison.data import bad_pictures_together
from unpoison.data.delivery import partial_of
from unpoison.runs.finished import check_replaceable
from unpoison.runs.store import has_blocks, remove

_KEPT = "chosen.json"
_FACTS = "chosen"


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Args:
        settings: of every link of the purifier, as a run takes them.
        facts: for the manifest: under `chosen` the purifier, the verdict, the reason and what was tried.
    """

    settings: dict[str, Settings]
    facts: dict[str, Any]


def choose(
    image_set: ImageSet,
    *,
    reference: ImageSet | None,
    device: str,
    remedy: str,
    say: Callable[[str], None],
    on_step: OnStep | None,
    target: Path | None = None,
    overwrite: bool = False,
) -> Choice:
    """Audit a set, and choose how to purify it.

    What was chosen for a target is kept beside the journal of its run, and then in its manifest: whoever gives the same
    command again goes on with it.

    Args:
        image_set: pictures of two classes or more.
        reference: trusted pictures of the same classes, with which the set and what is tried are compared.
        device: where to compute.
        remedy: what the caller can do about a bad picture.
        say: takes a line with the verdict, and one with what was chosen and why.
        on_step: called as pictures and candidates are done.
        target: new file or folder of the run; None if it writes none.
        overwrite: whether a set at the target is to be replaced, so that it counts only if it is of these pictures.

    Raises:
        SettingsError: fewer than two classes have pictures, or the reference has others.
        DataError: pictures are broken, or the reference is too small.
        RunError: something else is at the target, or the choice cannot be kept.
    """
    present = np.unique(image_set.labels[image_set.labels >= 0])
    if len(present) < 2:
        instead = "auto compares classes: name a method instead, such as fast"
        raise SettingsError(
            f"{image_set.name} has pictures of {('no class', 'one class')[len(present)]}, and {instead}"
        )
    if reference is not None:
        names = [image_set.class_names[label] for label in present]
        reference = check_reference(reference, names, wanted_by=image_set.name)
    with bad_pictures_together(image_set, remedy=remedy):
        chosen = _finished(image_set, reference, target, overwrite) if target else None
        if chosen is None:
            if target:
                _check_free(target, overwrite)  # an audit takes long
            chosen = _kept(image_set, reference, device, say, on_step, partial_of(target) if target else None)
    candidate = find_candidate(chosen["purifier"])
    assert candidate is not None
    return Choice(candidate.build(), {_FACTS: chosen})


def _finished(image_set: ImageSet, reference: ImageSet | None, target: Path, overwrite: bool) -> dict[str, Any] | None:
    """What was chosen for a set that is at the target."""
    manifest = None
    with suppress(DataError):
        manifest = read_manifest(manifest_path(target))
    if manifest is None or not manifest.steps:
        return None
    step = manifest.steps[-1]
    chosen = step.facts.get(_FACTS)
    other = overwrite and step.source != image_set.content_hash
    return chosen if _is_choice(chosen, reference) and not other else None


def _check_free(target: Path, overwrite: bool) -> None:
    if not os.path.lexists(target):
        return
    if not overwrite:
        anew = "remove it, choose another name, or replace it with --overwrite"
        raise RunError(f"{target} is already there, and was not made by auto in this way; {anew}")
    check_replaceable(target)


def _kept(
    image_set: ImageSet,
    reference: ImageSet | None,
    device: str,
    say: Callable[[str], None],
    on_step: OnStep | None,
    folder: Path | None,
) -> dict[str, Any]:
    """What was chosen for the unfinished run in a folder, else what an audit advises, which is kept there.

    Parts of a run that begin at once wait for the first of them.
    """
    if folder is None:
        return _audited(image_set, reference, device, say, on_step)
    key = _key(image_set, reference)
    with writing(folder, kept=True):
        folder.mkdir(parents=True, exist_ok=True)
        lock = wait_for_lock(folder / "choice")
    with lock:
        with suppress(OSError, ValueError, TypeError, KeyError):
            kept = read_json(folder / _KEPT)
            chosen: dict[str, Any] = kept[_FACTS]
            if kept["key"] == key and _is_choice(chosen, reference):
                say(f"chosen before: {find_candidate(chosen['purifier'])}")
                return chosen
        try:
            chosen = _audited(image_set, reference, device, say, on_step)
        except UnpoisonError:
            if not has_blocks(folder):  # nothing that a resumed run could use
                remove(folder)
            raise
        with writing(folder, kept=True):
            write_json(folder / _KEPT, {"key": key, _FACTS: chosen})
    return chosen


def _key(*sets: ImageSet | None) -> str:
    """What is another if any picture or label of some sets is."""
    facts = [one and [one.ids, one.labels.tolist(), [one.stamp(rows) for rows in one.blocks()]] for one in sets]
    return hash_json(facts)


def _is_choice(chosen: Any, reference: ImageSet | None) -> bool:
    """Whether what a manifest says, which may be anybody's, is a choice of ours, made by this reference."""
    return (
        isinstance(chosen, Mapping)
        and find_candidate(chosen.get("purifier")) is not None
        and chosen.get("reference") == (reference and reference.content_hash)
    )


def _audited(
    image_set: ImageSet,
    reference: ImageSet | None,
    device: str,
    say: Callable[[str], None],
    on_step: OnStep | None,
) -> dict[str, Any]:
    audit = audit_set(image_set, reference=reference, device=device, on_step=on_step)
    say(tell(audit).partition("\n")[0])
    advice = advise(audit, reference=reference, device=device, on_step=on_step)
    candidate = Candidate(advice.method, advice.profiles, advice.settings)
    say(f"chosen: {candidate}: {advice.reason}")
    return {
        "purifier": candidate.describe(),
        "verdict": audit.verdict.answer,
        "as_surprising": audit.verdict.as_surprising.model_dump(),
        "reason": advice.reason,
        "reference": reference and reference.content_hash,
        "tried": [one.describe() for one in advice.tried],
    }
