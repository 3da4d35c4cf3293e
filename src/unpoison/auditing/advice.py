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
from unpoison.classify.classifier import predict
from unpoison.classify.training import train
from unpoison.core.classes import match_classes
from unpoison.core.errors import SettingsError
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.core.progress import OnStep, StepInfo
from unpoison.core.records import Metric
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.run import PurifyRun
from unpoison.scoring.intervals import share

_STANDING_OUT = 200  # pictures
_NATURE = "denoised"  # the kind of evidence that says how hard a set is by nature
_ERRORS = 3  # the lowest of six counts lies more than one too low, and a purification takes natural detail along
_SEEDS = 2  # trainings on what is left of a sample: a shortcut that survives in part is learned by some of them only
_ON_FEW = "repeats"  # the kind that speaks of one perturbation on few pictures
# The most accuracy for half a minute of one core on 4,000 pictures of CIFAR-10.
_QUICK: dict[str, Any] = {"model": "hlb-s", "width": 16, "epochs": 10, "test_every": 10, "profile": "puregen-hlb-small"}


@dataclass(frozen=True)
class Tried:
    """A purification that was tried on a sample.

    Args:
        candidate: which.
        surprise: by how many standard deviations of clean sets the strongest of the evidence still lies above them;
            None where accuracy decides.
        accuracy: of a quick classifier trained on the purified sample, on pictures that it has not seen.
        lowest: its accuracy on the same pictures as that candidate leaves them where it is lowest; None with trusted
            ones.
    """

    candidate: Candidate
    surprise: float | None = None
    accuracy: Metric | None = None
    lowest: Metric | None = None

    def describe(self) -> dict[str, Any]:
        """It as manifests keep it."""
        facts = self.candidate.describe()
        if self.surprise is not None:
            facts["surprise"] = round(self.surprise, 3)
        for name, accuracy in {"accuracy": self.accuracy, "lowest": self.lowest}.items():
            if accuracy is not None:
                facts[name] = accuracy.model_dump()
        return facts


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

    A set that looks poisoned is purified in part by every candidate, and a quick classifier is trained on what each
    leaves. With trusted pictures, the candidate is taken from which it learns to name most of those, or the weakest
    that is as good within the error of that count. Without them, or where it names no more of them than chance, it
    names pictures of the sample that were kept back, as every candidate leaves them: where it leans on a shortcut that
    survives one and not another, it names far fewer after the other. The weakest candidate is taken after which nothing
    is lost so, within some standard errors.

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
        small = too_few(len(reference), len(np.unique(reference.labels)))
        unfit = f"it is too small ({small})" if small else ""
        trusted = None if unfit else _small(reference)
    samples = _samples(audit)
    if {one.kind for one in audit.verdict.speaking} == {_ON_FEW}:
        best, reason, tried = _until_silent(audit, samples, device, on_step)
    else:
        sample = list(samples.values())[-1]
        tried = _learned(sample, trusted, device, on_step)
        if trusted is not None and _by_chance(tried, trusted):
            unfit = "classifiers name no more of it than chance: are its classes those of the set?"
            trusted, tried = None, _learned(sample, None, device, on_step)
        best, reason = _least_lost(tried) if trusted is None else _most_accurate(tried)
    if unfit:
        reason += f"; the reference did not decide, as {unfit}"
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
        tried.append(Tried(candidate, surprise=surprises[-1]))
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
    purified, _ = purify_in_memory(sample, PurifyRun(candidate.build()), device=device)
    view = make_view(purified, device=device)
    found = findings_of(name, measured(gather(view, {*kinds, _NATURE}), view))
    return [finding for finding in found if finding.kind in kinds]


def _learned(sample: ArrayImageSet, trusted: ArrayImageSet | None, device: str, on_step: OnStep | None) -> list[Tried]:
    """What a quick classifier names that was trained on what each candidate leaves of a sample."""
    left: list[ImageSet] = []
    tried, total = [], 2 * len(CANDIDATES)
    for candidate in CANDIDATES:
        _say(on_step, len(left), total, f"trying {candidate}")
        left.append(purify_in_memory(sample, PurifyRun(candidate.build()), device=device)[0])
    kept_back = np.argsort(sample.labels, kind="stable")[::3]  # a third of each class
    others = np.setdiff1d(np.arange(len(sample)), kept_back)
    judged = [one.subset(kept_back) for one in left]
    for place, candidate in enumerate(CANDIDATES):
        _say(on_step, len(CANDIDATES) + place, total, f"learning from what {candidate} leaves")
        if trusted is not None:
            tried.append(Tried(candidate, accuracy=_accuracies(left[place], [trusted], device)[0]))
            continue
        named = [_accuracies(left[place].subset(others), judged, device, seed=seed) for seed in range(_SEEDS)]
        pairs = [(own[place], min(own, key=lambda one: one.value)) for own in named]
        accuracy, lowest = max(pairs, key=lambda pair: pair[0].value - pair[1].value)
        tried.append(Tried(candidate, accuracy=accuracy, lowest=lowest))
    return tried


def _most_accurate(tried: Sequence[Tried]) -> tuple[int, str]:
    """The weakest that is as accurate as the most accurate one, within the standard error; and why."""
    accuracies = [one.accuracy for one in tried if one.accuracy is not None]
    most = max(accuracies, key=lambda one: one.value)
    best = next(place for place, one in enumerate(accuracies) if one.value >= most.value - _error(most))
    named = f"{accuracies[best].value:.1%} of {most.n:,} trusted pictures"
    return best, f"a quick classifier learns from a sample after it to name {named}, and from none clearly more"


def _by_chance(tried: Sequence[Tried], trusted: ImageSet) -> bool:
    """Whether after no candidate clearly more trusted pictures are named than the largest class has."""
    largest = float(np.bincount(trusted.labels).max() / len(trusted))
    return all(one.accuracy.value <= largest + _ERRORS * _error(one.accuracy) for one in tried if one.accuracy)


def _least_lost(tried: Sequence[Tried]) -> tuple[int, str]:
    """The weakest after which no other makes a classifier name fewer, or the one where that is least; and why."""
    pairs = [(one.accuracy, one.lowest) for one in tried if one.accuracy is not None and one.lowest is not None]
    lost = [accuracy.value - lowest.value for accuracy, lowest in pairs]
    unhurt = [place for place, (accuracy, _) in enumerate(pairs) if lost[place] <= _ERRORS * _error(accuracy)]
    best = unhurt[0] if unhurt else int(np.argmin(lost))
    accuracy, lowest = pairs[best]
    named = (
        f"a quick classifier learns from a sample after it to name {accuracy.value:.1%} of {accuracy.n:,} pictures "
        f"that were kept back, and {lowest.value:.1%} of them at the least when they are purified in another way"
    )
    if not unhurt:
        return best, f"{named}; it leans on something that is left, but after no method less"
    weaker = f"; after weaker methods it loses up to {100 * max(lost[:best]):.0f} points by that" if best else ""
    return best, named + weaker


def _error(accuracy: Metric) -> float:
    return float(np.sqrt(accuracy.value * (1 - accuracy.value) / accuracy.n))


def _accuracies(learned: ImageSet, judged: Sequence[ImageSet], device: str, *, seed: int = 0) -> list[Metric]:
    """Shares of pictures that a quick classifier names which was trained on others."""
    trained = train(learned, test_set=judged[0], device=device, precision="auto", seed=seed, **_QUICK)
    named = [predict(trained.net, one.array()) == one.labels for one in judged]
    return [share(int(right.sum()), len(right)) for right in named]


def _say(on_step: OnStep | None, done: int, total: int, doing: str) -> None:
    if on_step:
        on_step(StepInfo(done, total, doing=doing))
