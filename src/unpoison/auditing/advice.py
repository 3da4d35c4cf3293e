"""Advice: which purification a set needs, tried on a sample of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unpoison.auditing.audit import Audit, gather, measured
from unpoison.auditing.candidates import CANDIDATES, LIGHT, NORMAL, Candidate
from unpoison.auditing.evidence.words import WORDS
from unpoison.auditing.verdict import THRESHOLD, Finding, findings_of, too_few
from unpoison.auditing.views import load_views, make_view
from unpoison.classify.training import train
from unpoison.core.classes import match_classes
from unpoison.core.errors import SettingsError
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.core.progress import OnStep, StepInfo
from unpoison.core.records import Metric
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.run import PurifyRun
from unpoison.scoring.accuracy import score

_STANDING_OUT = 200  # pictures
_NATURE = "denoised"  # the kind of evidence that says how hard a set is by nature
# The most accuracy for half a minute of one core on 4,000 pictures of CIFAR-10.
_QUICK: dict[str, Any] = {"model": "hlb-s", "width": 16, "epochs": 10, "test_every": 10, "profile": "puregen-hlb-small"}


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
    audit: Audit, *, reference: ImageSet | None = None, device: str = "auto", on_step: OnStep | None = None
) -> Advice:
    """Choose a purification that is as strong as a set needs.

    A set that looks poisoned is purified in part, ever more strongly, and what comes out is measured again by the
    evidence that spoke: against clean sets as hard as it then is, since purifying takes natural structure along. The
    first candidate after which nothing speaks is taken. With trusted pictures it is instead the one from which a quick
    classifier learns to name most of them, or the weakest that is as good within the error of that count.

    The sample is of the views, 32x32 pixels of every picture. Of larger pictures the view `whole`, which is shrunk
    before it is purified, loses more than the pictures themselves will.

    Args:
        audit: of the set.
        reference: trusted pictures of the same classes, every one with its class.
        device: where to purify and to train.
        on_step: called before each candidate is tried.

    Raises:
        SettingsError: the reference has other classes, or a picture without one.
    """
    if audit.verdict.answer == "nothing found":
        few = "a poison on few pictures, or a weak one, may escape an audit, and this costs little accuracy"
        return _advice(LIGHT, f"nothing speaks against the set; {few}")
    if audit.verdict.answer == "cannot tell":
        return _advice(NORMAL, f"the audit cannot tell ({audit.verdict.reason}), so this is the default")
    samples, unfit, trusted = _samples(audit), "", None
    if reference is not None:
        reference = check_reference(reference, audit.class_names, wanted_by=audit.name)
        unfit = too_few(len(reference), len(np.unique(reference.labels)))
        trusted = None if unfit else _small(reference)
    tried: list[Tried] = []
    for candidate in CANDIDATES:
        if on_step:
            on_step(StepInfo(len(tried), len(CANDIDATES), doing=f"trying {candidate}"))
        tried.append(_try(candidate, audit, samples, trusted, device))
        if trusted is None and tried[-1].surprise <= THRESHOLD:
            break
    best, reason = _most_silent(tried) if trusted is None else _most_accurate(tried)
    if unfit:
        reason += f"; the reference was not learned from, as it is too small ({unfit})"
    return _advice(CANDIDATES[best], reason, tried)


def check_reference(reference: ImageSet, class_names: Sequence[str], *, wanted_by: str) -> ImageSet:
    """Trusted pictures with their classes numbered like those of a set.

    Args:
        reference: the trusted pictures.
        class_names: of the set.
        wanted_by: the set's name, for the message.

    Raises:
        SettingsError: a picture has no class, or one that the set does not have.
    """
    if (reference.labels < 0).any():
        unknown = int((reference.labels < 0).sum())
        raise SettingsError(f"{unknown} trusted pictures of {reference.name} have no class; a reference needs them all")
    return match_classes(reference, class_names, wanted_by=wanted_by)


def _advice(candidate: Candidate, reason: str, tried: Sequence[Tried] = ()) -> Advice:
    return Advice(candidate.method, candidate.profiles, candidate.settings, reason, tuple(tried))


def _samples(audit: Audit) -> dict[str, ArrayImageSet]:
    """Some 4,000 pictures of every view: of every class its share, and those that stand out most, if there are more.

    What few pictures of a large set carry would else be gone from the sample before anything is tried.
    """
    samples = {}
    for name, view in audit.views.items():
        rows = np.union1d(view.fitted, np.argsort(-audit.suspicion, kind="stable")[:_STANDING_OUT])
        samples[name] = ArrayImageSet(
            view.images[rows],
            view.labels[rows],
            class_names=audit.class_names,
            ids=[audit.ids[row] for row in rows],
            name=audit.name,
        )
    return samples


def _small(reference: ImageSet) -> ArrayImageSet:
    """The trusted pictures as a set of 32x32 shows them: whole."""
    images = list(load_views(reference).values())[-1]
    about: dict[str, Any] = {"class_names": reference.class_names, "ids": reference.ids, "name": reference.name}
    return ArrayImageSet(images, reference.labels, **about)


def _try(
    candidate: Candidate,
    audit: Audit,
    samples: Mapping[str, ArrayImageSet],
    trusted: ArrayImageSet | None,
    device: str,
) -> Tried:
    run = PurifyRun(candidate.build())
    purified = {name: purify_in_memory(sample, run, device=device)[0] for name, sample in samples.items()}
    spoke: dict[str, set[str]] = {}
    for one in audit.verdict.speaking:
        spoke.setdefault(one.view, set()).add(one.kind)
    left = [finding for name, kinds in spoke.items() for finding in _findings(name, purified[name], kinds, device)]
    most = max(left, key=lambda finding: finding.surprise)
    accuracy = None if trusted is None else _accuracy(list(purified.values())[-1], trusted, device)
    return Tried(candidate.method, candidate.profiles, candidate.settings, most.surprise, most.sign, accuracy)


def _findings(name: str, shown: ArrayImageSet, kinds: set[str], device: str) -> list[Finding]:
    """What some kinds of evidence say of pictures as a view shows them."""
    view = make_view(shown, device=device)
    found = findings_of(name, measured(gather(view, {*kinds, _NATURE}), view))
    return [finding for finding in found if finding.kind in kinds]


def _accuracy(sample: ArrayImageSet, trusted: ArrayImageSet, device: str) -> Metric:
    """Share of trusted pictures that a quick classifier names which was trained on a sample."""
    return score(train(sample, test_set=trusted, device=device, precision="auto", **_QUICK), trusted).accuracy


def _most_silent(tried: Sequence[Tried]) -> tuple[int, str]:
    """The first after which nothing speaks, or the one after which least does; and why."""
    least = int(np.argmin([one.surprise for one in tried]))
    shown = tried[least]
    if shown.surprise <= THRESHOLD:
        weaker = f"; {least} weaker ones were not enough" if least else ""
        return least, f"after it nothing speaks against a sample of the set any more{weaker}"
    title = WORDS[shown.sign.partition(".")[0]].title
    left = f"it leaves least: {title[0].lower()}{title[1:]}, {shown.surprise:.1f} standard deviations above clean sets"
    return least, f"none of {len(tried)} takes all evidence out of a sample of the set, and {left}"


def _most_accurate(tried: Sequence[Tried]) -> tuple[int, str]:
    """The weakest that is as accurate as the most accurate one, within the standard error; and why."""
    accuracies = [one.accuracy for one in tried if one.accuracy is not None]
    most = max(accuracies, key=lambda one: one.value)
    error = float(np.sqrt(most.value * (1 - most.value) / most.n))
    best = next(place for place, one in enumerate(accuracies) if one.value >= most.value - error)
    named = f"{accuracies[best].value:.1%} of {most.n:,} trusted pictures"
    return best, f"a quick classifier learns from a sample after it to name {named}, and from none clearly more"
