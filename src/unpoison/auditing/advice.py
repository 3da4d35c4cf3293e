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
_ON_FEW = "repeats"  # the kind that speaks of one perturbation on few pictures
_STRONGEST = 3  # candidates, of different kinds, as which pictures that stand in for trusted ones are seen
# The most accuracy for half a minute of one core on 4,000 pictures of CIFAR-10.
_QUICK: dict[str, Any] = {"model": "hlb-s", "width": 16, "epochs": 10, "test_every": 10, "profile": "puregen-hlb-small"}


@dataclass(frozen=True)
class Tried:
    """A purification that was tried on a sample.

    Args:
        method: a purifier, or several joined by `+`.
        profiles: names of its profiles.
        settings: further settings.
        surprise: by how many standard deviations of clean sets the strongest of the evidence still lies above them;
            None where accuracy decides.
        accuracy: of a quick classifier trained on the purified sample, on pictures that it has not seen.
    """

    method: str
    profiles: tuple[str, ...]
    settings: Mapping[str, Any]
    surprise: float | None = None
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

    A set that looks poisoned is purified in part by every candidate. A quick classifier is trained on what each leaves,
    and the candidate is taken from which it learns to name most trusted pictures, or the weakest that is as good within
    the error of that count. Without trusted pictures, some of the sample that are not learned from stand in for them,
    as the strongest candidates leave them: what a shortcut teaches is of no use there.

    A trigger on few pictures costs no accuracy. Where nothing but such a one speaks, the first candidate is taken after
    which nothing does, against clean sets as hard as the sample then is.

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
    unfit, trusted = "", None
    if reference is not None:
        reference = check_reference(reference, audit.class_names, wanted_by=audit.name)
        unfit = too_few(len(reference), len(np.unique(reference.labels)))
        trusted = None if unfit else _small(reference)
    samples = _samples(audit)
    if {one.kind for one in audit.verdict.speaking} == {_ON_FEW}:
        best, reason, tried = _until_silent(audit, samples, device, on_step)
    else:
        best, reason, tried = _most_learned(list(samples.values())[-1], trusted, device, on_step)
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


def _until_silent(
    audit: Audit, samples: Mapping[str, ArrayImageSet], device: str, on_step: OnStep | None
) -> tuple[int, str, list[Tried]]:
    """The first candidate after which nothing speaks, or the one after which least does; why; and what was tried."""
    tried: list[Tried] = []
    surprises: list[float] = []
    for place, candidate in enumerate(CANDIDATES):
        _say(on_step, place, len(CANDIDATES), f"trying {candidate}")
        findings = [one for name, sample in samples.items() for one in _left(audit, name, sample, candidate, device)]
        surprises.append(max(finding.surprise for finding in findings))
        tried.append(_tried(candidate, surprise=surprises[-1]))
        if surprises[-1] <= THRESHOLD:
            weaker = f"; {place} weaker ones were not enough" if place else ""
            return place, f"after it nothing speaks against a sample of the set any more{weaker}", tried
    title, least = WORDS[_ON_FEW].title, int(np.argmin(surprises))
    left = f"{title[0].lower()}{title[1:]}, {surprises[least]:.1f} standard deviations above clean sets"
    return (
        least,
        f"none of {len(tried)} takes all evidence out of a sample of the set, and it leaves least: {left}",
        tried,
    )


def _left(audit: Audit, name: str, sample: ArrayImageSet, candidate: Candidate, device: str) -> list[Finding]:
    """What spoke of a view, measured again in its pictures once they are purified."""
    kinds = {one.kind for one in audit.verdict.speaking if one.view == name}
    if not kinds:
        return []
    view = make_view(_purified(sample, candidate, device), device=device)
    found = findings_of(name, measured(gather(view, {*kinds, _NATURE}), view))
    return [finding for finding in found if finding.kind in kinds]


def _most_learned(
    sample: ArrayImageSet, trusted: ArrayImageSet | None, device: str, on_step: OnStep | None
) -> tuple[int, str, list[Tried]]:
    """The weakest candidate of those from which most is learned, within the standard error; why; and what was tried."""
    total = 2 * len(CANDIDATES)
    left: list[ImageSet] = []
    for place, candidate in enumerate(CANDIDATES):
        _say(on_step, place, total, f"trying {candidate}")
        left.append(_purified(sample, candidate, device))
    judges = "trusted pictures"
    if trusted is None:
        kept_back = _every_third(sample.labels)
        trusted = _joined([one.subset(np.flatnonzero(kept_back)) for one in left[-_STRONGEST:]])
        left = [one.subset(np.flatnonzero(~kept_back)) for one in left]
        judges = "pictures that were kept back, as the strongest leave them"
    tried = []
    for place, candidate in enumerate(CANDIDATES):
        _say(on_step, len(CANDIDATES) + place, total, f"learning from {candidate}")
        tried.append(_tried(candidate, accuracy=_accuracy(left[place], trusted, device)))
    accuracies = [one.accuracy for one in tried if one.accuracy is not None]
    most = max(accuracies, key=lambda one: one.value)
    error = float(np.sqrt(most.value * (1 - most.value) / most.n))
    best = next(place for place, one in enumerate(accuracies) if one.value >= most.value - error)
    named = f"{accuracies[best].value:.1%} of {most.n:,} {judges}"
    return best, f"a quick classifier learns from a sample after it to name {named}, and from none clearly more", tried


def _tried(candidate: Candidate, *, surprise: float | None = None, accuracy: Metric | None = None) -> Tried:
    return Tried(candidate.method, candidate.profiles, candidate.settings, surprise, accuracy)


def _purified(sample: ArrayImageSet, candidate: Candidate, device: str) -> ArrayImageSet:
    return purify_in_memory(sample, PurifyRun(candidate.build()), device=device)[0]


def _every_third(labels: np.ndarray) -> np.ndarray:
    """[N] bool: a third of each class."""
    chosen = np.zeros(len(labels), bool)
    chosen[np.argsort(labels, kind="stable")[::3]] = True
    return chosen


def _joined(parts: Sequence[ImageSet]) -> ArrayImageSet:
    images, labels = (
        np.concatenate(arrays) for arrays in zip(*((one.array(), one.labels) for one in parts), strict=True)
    )
    return ArrayImageSet(images, labels, class_names=parts[0].class_names)


def _accuracy(sample: ImageSet, trusted: ArrayImageSet, device: str) -> Metric:
    """Share of trusted pictures that a quick classifier names which was trained on a sample."""
    return score(train(sample, test_set=trusted, device=device, precision="auto", **_QUICK), trusted).accuracy


def _say(on_step: OnStep | None, done: int, total: int, doing: str) -> None:
    if on_step:
        on_step(StepInfo(done, total, doing=doing))
