"""Advice: which purification a set needs, tried on a sample of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unpoison.auditing.audit import Audit, evidence_values
from unpoison.auditing.candidates import CANDIDATES, LIGHT, NORMAL, Candidate
from unpoison.auditing.evidence.methods import METHODS
from unpoison.auditing.expectations import SIGNS, expectations, nature, on_scale
from unpoison.auditing.verdict import FEWEST_A_CLASS, THRESHOLD
from unpoison.auditing.views import load_views, make_view
from unpoison.classify.training import train
from unpoison.core.classes import match_classes
from unpoison.core.errors import SettingsError
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.core.methods import load_method
from unpoison.core.progress import OnStep, StepInfo
from unpoison.core.records import Metric
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.run import PurifyRun
from unpoison.scoring.accuracy import score

_NATURE = "denoised"  # the kind of evidence that says how hard a set is by nature
_QUICK = {"model": "resnet18", "width": 16, "epochs": 10, "test_every": 10}


@dataclass(frozen=True)
class Tried:
    """A purification that was tried on a sample.

    Args:
        method: a purifier, or several joined by `+`.
        profiles: names of its profiles.
        settings: further settings.
        surprise: by how many standard deviations of clean sets the strongest of the evidence still lies above them.
        sign: which evidence that is.
        accuracy: of a quick classifier trained on the purified sample, on trusted pictures; None without them.
    """

    method: str
    profiles: tuple[str, ...]
    settings: Mapping[str, Any]
    surprise: float
    sign: str
    accuracy: Metric | None = None


@dataclass(frozen=True)
class Advice:
    """What to purify a set with.

    Args:
        method: a purifier, or several joined by `+`.
        profiles: names of its profiles.
        settings: further settings, in a chain `purifier.field`.
        reason: why, in a sentence.
        tried: what was tried before, the weakest first; empty if nothing speaks against the set.
    """

    method: str
    profiles: tuple[str, ...]
    settings: Mapping[str, Any]
    reason: str
    tried: tuple[Tried, ...] = ()


def advise(
    audit: Audit,
    image_set: ImageSet,
    *,
    reference: ImageSet | None = None,
    device: str = "auto",
    on_step: OnStep | None = None,
) -> Advice:
    """Choose a purification that is as strong as a set needs.

    A set that looks poisoned is purified in part, ever more strongly, and what comes out is audited again: how hard it
    is by nature is measured on it too, as purifying takes natural structure with it. The first candidate after which
    nothing speaks against it is taken. With trusted pictures it is instead the one from which a quick classifier learns
    to name most of them, or the weakest that is as good within the error of that count.

    Args:
        audit: of the set.
        image_set: the set.
        reference: trusted pictures of the same classes, every one with its class. With fewer than 20 of a class their
            accuracies are reported only.
        device: where to purify and to train.
        on_step: called before each candidate is tried.

    Raises:
        SettingsError: the reference has other classes, or a picture without one.
    """
    if reference is not None:
        reference = check_reference(reference, audit)
    if audit.verdict.answer == "nothing found":
        few = "a poison on few pictures, or a weak one, may escape an audit, and this costs little accuracy"
        return _advice(LIGHT, f"nothing speaks against the set; {few}")
    if audit.verdict.answer == "cannot tell":
        return _advice(NORMAL, f"the audit cannot tell ({audit.verdict.reason}), so this is the default")
    samples = _samples(audit, image_set)
    shown = None if reference is None else _small(reference, list(audit.views)[-1])
    decides = reference is not None and _is_enough(reference)
    tried: list[Tried] = []
    for candidate in CANDIDATES:
        if on_step:
            on_step(StepInfo(len(tried), len(CANDIDATES), doing=f"trying {candidate}"))
        tried.append(_try(candidate, audit, samples, shown, device))
        if shown is None and tried[-1].surprise <= THRESHOLD:
            break
    best, reason = _most_accurate(tried) if decides else _most_silent(tried)
    if shown is not None and not decides:
        reason += f"; the reference has a class of fewer than {FEWEST_A_CLASS} pictures and only serves to compare"
    return _advice(CANDIDATES[best], reason, tried)


def check_reference(reference: ImageSet, audited: ImageSet | Audit) -> ImageSet:
    """Trusted pictures with their classes numbered like those of a set.

    Raises:
        SettingsError: one has no class, or one that the set does not have.
    """
    unknown = int((reference.labels < 0).sum())
    if unknown or not len(reference):
        what = f"{unknown} pictures without a class" if unknown else "no pictures"
        raise SettingsError(f"the reference {reference.name} holds {what}; give trusted pictures with their classes")
    return match_classes(reference, audited.class_names, wanted_by=audited.name)


def _advice(candidate: Candidate, reason: str, tried: Sequence[Tried] = ()) -> Advice:
    return Advice(candidate.method, candidate.profiles, candidate.settings, reason, tuple(tried))


def _samples(audit: Audit, image_set: ImageSet) -> dict[str, ArrayImageSet]:
    """At most 4,000 pictures of every view, of every class its share."""
    samples = {}
    for name, view in audit.views.items():
        ids = [image_set.ids[row] for row in view.fitted]
        samples[name] = ArrayImageSet(
            view.images[view.fitted], view.labels[view.fitted], class_names=audit.class_names, ids=ids, name=audit.name
        )
    return samples


def _small(reference: ImageSet, view: str) -> ArrayImageSet:
    """The trusted pictures as a view shows them."""
    images = load_views(reference)
    return ArrayImageSet(
        images.get(view, images["detail"]),
        reference.labels,
        class_names=reference.class_names,
        ids=reference.ids,
        name=reference.name,
    )


def _is_enough(reference: ImageSet) -> bool:
    return int(np.bincount(reference.labels, minlength=len(reference.class_names)).min()) >= FEWEST_A_CLASS


def _try(
    candidate: Candidate,
    audit: Audit,
    samples: Mapping[str, ArrayImageSet],
    shown: ArrayImageSet | None,
    device: str,
) -> Tried:
    run = PurifyRun(candidate.build())
    purified = {name: purify_in_memory(sample, run, device=device)[0] for name, sample in samples.items()}
    spoke: dict[str, set[str]] = {}
    for one in audit.verdict.speaking:
        spoke.setdefault(one.view, set()).add(one.kind)
    found = [
        (surprise, sign)
        for name, kinds in spoke.items()
        for sign, surprise in _surprises(purified[name], kinds, device).items()
    ]
    surprise, sign = max(found)
    accuracy = None if shown is None else _accuracy(purified[list(samples)[-1]], shown, device)
    return Tried(candidate.method, candidate.profiles, candidate.settings, surprise, sign, accuracy)


def _surprises(image_set: ArrayImageSet, kinds: set[str], device: str) -> dict[str, float]:
    """By how much the signs of some kinds of evidence lie above what is expected of a set of 32x32 pictures."""
    view = make_view(image_set, image_set.images, device=device)
    values = evidence_values({kind: load_method(METHODS, kind, kind="evidence")(view) for kind in {*kinds, _NATURE}})
    alike = nature(values, len(image_set), len(np.unique(image_set.labels)))
    return {
        sign: expectations()[sign].surprise(on_scale(scale, values[sign]), alike)
        for sign, scale in SIGNS.items()
        if sign.partition(".")[0] in kinds
    }


def _accuracy(sample: ArrayImageSet, shown: ArrayImageSet, device: str) -> Metric:
    """Share of trusted pictures that a quick classifier names which was trained on a sample."""
    return score(train(sample, test_set=shown, device=device, **_QUICK), shown).accuracy


def _most_silent(tried: Sequence[Tried]) -> tuple[int, str]:
    """The first after which nothing speaks, or the one after which least does; and why."""
    least = int(np.argmin([one.surprise for one in tried]))
    shown = tried[least]
    if shown.surprise <= THRESHOLD:
        weaker = f", as it does after {least} weaker ones" if least else ""
        return least, f"after it nothing speaks against a sample of the set any more{weaker}"
    rest = f"{shown.sign} still lies {shown.surprise:.1f} standard deviations above clean sets"
    return least, f"none of {len(tried)} removes all evidence from a sample of the set; this leaves least: {rest}"


def _most_accurate(tried: Sequence[Tried]) -> tuple[int, str]:
    """The weakest that is as accurate as the most accurate one, within the standard error; and why."""
    accuracies = [one.accuracy for one in tried if one.accuracy is not None]
    most = max(accuracies, key=lambda one: one.value)
    error = float(np.sqrt(most.value * (1 - most.value) / most.n))
    best = next(place for place, one in enumerate(accuracies) if one.value >= most.value - error)
    named = f"{accuracies[best].value:.1%} of {most.n} trusted pictures"
    return (
        best,
        f"a quick classifier trained on a sample after it names {named}; none of {len(tried)} does clearly better",
    )
