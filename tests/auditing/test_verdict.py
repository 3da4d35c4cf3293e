"""The verdict: three answers, and what makes each."""

import json
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest

import unpoison
from unpoison.auditing.audit import audit_set, measured
from unpoison.auditing.expectations import SIGNS, Measured, expectations, from_scale, on_scale
from unpoison.auditing.telling import score_columns, tell
from unpoison.auditing.verdict import THRESHOLD, judge
from unpoison.core.errors import DataError
from unpoison.core.images import ArrayImageSet


@pytest.fixture(scope="module")
def clean():
    return unpoison.read("digits#train")


@pytest.fixture(scope="module")
def quiet(clean):
    return audit_set(clean.subset(range(500)))


@pytest.fixture(scope="module")
def loud(clean):
    pictures = np.kron(clean.array()[:400], np.ones((1, 4, 4, 1), np.uint8))
    big = ArrayImageSet(pictures, clean.labels[:400], class_names=clean.class_names)
    return audit_set(unpoison.poison(big, "urp").image_set)


def test_clean_digits_are_not_called_poisoned(quiet):
    assert quiet.verdict.answer != "poisoned"
    assert quiet.verdict.as_surprising.value > 0
    assert quiet.verdict.speaking == ()
    assert set(quiet.views) == {"detail"}


def test_a_poison_of_every_class_is_called_so_and_by_what(loud):
    assert loud.verdict.answer == "poisoned"
    assert loud.verdict.as_surprising.value == 0
    assert loud.verdict.as_surprising.n > 90
    assert {one.kind for one in loud.verdict.speaking} >= {"residuals", "repeats"}
    first = loud.verdict.findings[0]
    assert first.measured > first.expected
    assert "LOOKS POISONED" in tell(loud)


def test_nothing_found_says_what_may_be_missed(quiet):
    found = replace(quiet, verdict=replace(quiet.verdict, answer="nothing found"))
    assert "nothing found" in tell(found)
    assert "may be missed" in tell(found)


def test_trusted_pictures_that_surprise_as_much_take_the_surprise_away(quiet, loud):
    shown = {"detail": measured(loud.evidence["detail"], loud.views["detail"])}
    size = {"images": len(loud.labels), "classes": 10}
    assert judge(shown, **size).answer == "poisoned"
    alike = judge(shown, **size, trusted=shown)
    assert alike.findings[0].surprise < judge(shown, **size).findings[0].surprise
    usual = {"detail": measured(quiet.evidence["detail"], quiet.views["detail"])}
    assert judge(shown, **size, trusted=usual).answer == "poisoned"


def test_too_few_pictures_cannot_be_told(clean):
    audit = audit_set(clean.subset(range(150)))
    assert audit.verdict.answer == "cannot tell"
    assert "150 pictures of 10 classes" in audit.verdict.reason
    assert "cannot tell" in tell(audit)
    assert len(audit.suspicion) == 150


def test_a_set_that_is_easy_by_nature_cannot_be_told(quiet):
    values = {**measured(quiet.evidence["detail"], quiet.views["detail"]).values}
    easy = {name: 1.0 for name in values if name.startswith("denoised.") and name != "denoised.again_repeat"}
    silent = dict.fromkeys(SIGNS, 0.0)
    verdict = judge({"detail": Measured({**values, **easy, **silent}, 2000, 10)}, images=2000, classes=10)
    assert verdict.answer == "cannot tell"
    assert "by nature" in verdict.reason


def test_pictures_without_class_and_classes_without_pictures_are_left_out(clean):
    labels = np.where(np.arange(400) < 50, -1, np.where(clean.labels[:400] < 5, 0, 3))
    odd = ArrayImageSet(clean.array()[:400], labels, class_names=["a", "b", "c", "d"])
    audit = audit_set(odd)
    assert audit.class_names == ("a", "d")
    assert len(audit.ids) == 350
    assert set(audit.labels) == {0, 1}


@pytest.mark.parametrize(("label", "said"), [(0, "only one"), (-1, "none")])
def test_one_class_is_refused(clean, label, said):
    one = ArrayImageSet(clean.array()[:300], np.full(300, label), class_names=["a"])
    with pytest.raises(DataError, match=f"compares classes, and {said} has pictures"):
        audit_set(one)


def test_a_reference_that_is_too_small_is_refused(clean):
    with pytest.raises(DataError, match="too small a reference"):
        audit_set(clean, reference=clean.subset(range(30)))


def test_scores_have_a_row_for_each_picture(loud):
    columns = score_columns(loud)
    assert {len(column) for column in columns.values()} == {len(loud.ids)}
    assert all(0 < score <= 1 for score in columns["poison_score"])


def test_what_is_stored_is_what_clean_sets_showed():
    stored = json.loads(resources.files("unpoison.auditing").joinpath("expectations.json").read_text())
    assert set(stored["signs"]) == set(SIGNS)
    for sign, one in expectations().items():
        mean, spread = one.expect(one.natures)
        surprises = np.abs(one.values - mean) / spread
        assert (spread > 0).all()
        assert surprises.max() < THRESHOLD, sign


@pytest.mark.parametrize("scale", ["share", "logarithm", "as is"])
def test_scales_come_back(scale):
    assert from_scale(scale, on_scale(scale, 0.3)) == pytest.approx(0.3)


def test_less_is_expected_sharply_far_from_known_sets():
    one = expectations()["residuals.advantage"]
    known, far = one.natures[:1], one.natures[:1] + 2
    assert one.expect(far)[1] > 2 * one.expect(known)[1]
