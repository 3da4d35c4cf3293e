"""Advice: as strong as needed and no stronger, by the evidence or by trusted pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unpoison.auditing import advice, views
from unpoison.auditing.advice import advise, check_reference
from unpoison.auditing.audit import audit_set
from unpoison.auditing.candidates import CANDIDATES, LIGHT, NORMAL, find_candidate
from unpoison.auditing.verdict import THRESHOLD, Finding, Verdict
from unpoison.core.errors import SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.purifiers.methods import DEFAULT
from unpoison.scoring.intervals import share


@pytest.fixture(scope="module")
def poisoned() -> ArrayImageSet:
    """Pictures of which one class has colour noise of its own, far stronger than any attack's."""
    generator = np.random.default_rng(0)
    images = generator.integers(90, 160, (200, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)
    labels = np.arange(200) % 2
    images[labels == 1] += generator.integers(-30, 31, (32, 32, 3))
    return ArrayImageSet(images.astype(np.uint8), labels, class_names=("cat", "dog"))


@pytest.fixture(scope="module")
def audit(poisoned):
    return audit_set(poisoned)


def test_a_silent_set_gets_little_and_one_that_says_nothing_the_default(audit):
    silent = advise(replace(audit, verdict=Verdict("nothing found", share(50, 101), ())))
    assert (_taken(silent), silent.tried) == (_taken(LIGHT), ())
    assert "may escape" in silent.reason
    unsure = advise(replace(audit, verdict=Verdict("cannot tell", share(50, 101), (), "24 pictures")))
    assert _taken(unsure) == _taken(NORMAL)
    assert "24 pictures" in unsure.reason


def _taken(found):
    return found.method, found.profiles, found.settings


@pytest.fixture
def trigger(audit):
    """The same, of which only repeats speak."""
    findings = tuple(one for one in audit.verdict.findings if one.kind == "repeats" or one.surprise < THRESHOLD)
    assert {one.kind for one in findings if one.surprise > THRESHOLD} == {"repeats"}
    return replace(audit, verdict=replace(audit.verdict, findings=findings))


def test_for_a_trigger_a_sample_is_purified_and_measured_again(trigger, monkeypatch):
    monkeypatch.setattr(advice, "CANDIDATES", (LIGHT, CANDIDATES[2]))
    steps = []
    found = advise(trigger, on_step=steps.append)
    assert all(one.surprise > 0 and one.accuracy is None for one in found.tried)
    assert [step.step for step in steps] == list(range(len(found.tried)))
    assert steps[0].doing == f"trying {DEFAULT} --profile light"


def test_a_sample_of_a_large_set_has_the_pictures_that_stand_out(audit, monkeypatch):
    monkeypatch.setattr(views, "FITTED", 40)
    monkeypatch.setattr(advice, "_STANDING_OUT", 10)
    anew = replace(audit, views={"detail": replace(audit.views["detail"])})
    (sample,) = advice._samples(anew).values()
    standing = {audit.ids[row] for row in np.argsort(-audit.suspicion)[:10]}
    assert standing <= set(sample.ids)
    assert 40 <= len(sample) <= 50
    assert np.array_equal(sample.labels, [audit.labels[audit.ids.index(name)] for name in sample.ids])


def _surprising(monkeypatch, surprises):
    def left(_audit, _name, _sample, candidate, _device):
        asked.append(CANDIDATES.index(candidate))
        return [Finding("detail", "repeats.repeat", 0, 0, surprises[asked[-1]])]

    asked: list[int] = []
    monkeypatch.setattr(advice, "_left", left)
    return asked


def test_the_first_that_silences_a_trigger_is_taken(trigger, monkeypatch):
    asked = _surprising(monkeypatch, [9, THRESHOLD + 0.1, THRESHOLD])
    found = advise(trigger)
    assert asked == [0, 1, 2]
    assert _taken(found) == _taken(CANDIDATES[2])
    assert "2 weaker ones were not enough" in found.reason
    assert len(found.tried) == 3


def test_where_none_silences_it_the_one_that_leaves_least_is_taken_and_said_so(trigger, monkeypatch):
    _surprising(monkeypatch, [9, 5.5, 6])
    found = advise(trigger)
    assert _taken(found) == _taken(CANDIDATES[1])
    assert "none of 3" in found.reason
    assert "5.5 standard deviations" in found.reason


def _accurate(monkeypatch, accuracies, lost=None, n=400):
    """Every classifier is as accurate as its candidate is said to be, but after the last, where one seed loses."""

    def answer(learned, judged, _device, *, seed=0):
        if seed == 0:
            asked.append((learned, judged))
        place = len(asked) - 1
        values = [accuracies[place]] * (len(judged) - 1) + [accuracies[place] - (lost[place] if lost and seed else 0)]
        return [share(round(value * n), n) for value in values]

    asked: list[tuple[ArrayImageSet, list[ArrayImageSet]]] = []
    monkeypatch.setattr(advice, "_accuracies", answer)
    monkeypatch.setattr(advice, "purify_in_memory", lambda sample, run, device: (sample, None))
    return asked


@pytest.mark.parametrize(
    ("lost", "best"),
    [([0.4, 0.06, 0.0], 1), ([0.01] * 3, 0), ([0.5, 0.15, 0.0], 2)],
    ids=["the weakest that loses nothing, within three errors", "the weakest is enough", "only the strongest is"],
)
def test_without_trusted_pictures_a_shortcut_shows_in_what_another_purification_takes(audit, monkeypatch, lost, best):
    asked = _accurate(monkeypatch, [0.5] * 3, lost)
    found = advise(audit)
    assert _taken(found) == _taken(CANDIDATES[best])
    assert "50.0% of 400 pictures that were kept back" in found.reason
    assert [round(one.accuracy.value - one.lowest.value, 6) for one in found.tried[:2]] == lost[:2]
    learned, judged = asked[0]
    assert (len(learned), [len(kept_back) for kept_back in judged]) == (133, [67] * 3)
    assert not set(learned.ids) & set(judged[0].ids)
    assert np.array_equal(np.bincount(judged[0].labels), [34, 33])


@pytest.fixture
def trusted(poisoned) -> ArrayImageSet:
    return ArrayImageSet(poisoned.images, poisoned.labels, class_names=("cat", "dog"), name="trusted")


@pytest.mark.parametrize(
    ("accuracies", "best"),
    [([0.6, 0.8, 0.815], 1), ([0.6, 0.8, 0.86], 2), ([0.8] * 3, 0)],
    ids=["a tie goes to the weaker", "clearly better wins", "all alike"],
)
def test_trusted_pictures_decide(audit, trusted, monkeypatch, accuracies, best):
    asked = _accurate(monkeypatch, accuracies)
    found = advise(audit, reference=trusted)
    assert [len(learned) for learned, _ in asked] == [200] * 3
    assert all(np.array_equal(judged.images, trusted.images) for _, (judged,) in asked)
    assert _taken(found) == _taken(CANDIDATES[best])
    assert f"{accuracies[best]:.1%} of 400 trusted pictures" in found.reason


def test_trusted_pictures_of_which_only_chance_is_named_do_not_decide(audit, trusted, monkeypatch):
    asked = _accurate(monkeypatch, [0.5, 0.5, 0.56, *[0.5] * 3], [0] * 3 + [0.4, 0.0, 0.0])
    found = advise(audit, reference=trusted)
    assert len(asked) == 6
    assert _taken(found) == _taken(CANDIDATES[1])
    assert "the reference did not decide, as classifiers name no more of it than chance" in found.reason


def test_a_classifier_is_trained_on_what_is_left_and_scored_on_trusted_pictures(audit, trusted, monkeypatch):
    monkeypatch.setattr(advice, "CANDIDATES", (LIGHT,))
    monkeypatch.setattr(advice, "_QUICK", {"model": "hlb-s", "width": 4, "epochs": 1})
    monkeypatch.setattr(advice, "_by_chance", lambda *_: False)
    (one,) = advise(audit, reference=trusted).tried
    assert one.accuracy.n == 200
    assert 0 <= one.accuracy.low <= one.accuracy.value <= 1


def test_too_few_trusted_pictures_are_not_learned_from(audit, trusted, monkeypatch):
    _accurate(monkeypatch, [0.5] * 3)
    found = advise(audit, reference=trusted.subset(range(30)))
    assert _taken(found) == _taken(CANDIDATES[0])
    assert "the reference did not decide, as it is too small (30 pictures of 2 classes" in found.reason


def test_trusted_pictures_have_the_classes_of_the_set(trusted):
    names = ["dog", "cat"]
    assert (check_reference(trusted, names, wanted_by="the set").labels == 1 - trusted.labels).all()
    with pytest.raises(SettingsError, match="has pictures of cat, but the classes of the set are"):
        check_reference(trusted, ["dog", "emu"], wanted_by="the set")
    unlabelled = ArrayImageSet(trusted.images[:2], [0, -1], class_names=names, name="trusted")
    with pytest.raises(SettingsError, match="1 trusted pictures of trusted have no class"):
        check_reference(unlabelled, names, wanted_by="the set")


def test_candidates_have_valid_settings_and_are_found_again_and_nothing_else_is():
    for candidate in CANDIDATES:
        assert candidate.build()
        assert find_candidate(candidate.describe()) is candidate
    assert str(CANDIDATES[0]) == f"{DEFAULT} --profile light"
    for other in (None, [], "fast", {}, {"method": "os:system", "profiles": [], "settings": {}}):
        assert find_candidate(other) is None
