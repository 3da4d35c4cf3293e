"""The page of an audit says what was found, and holds nothing that a stranger wrote but as text."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import numpy as np
import pytest

from unpoison.auditing.evidence.words import WORDS
from unpoison.auditing.expectations import SIGNS
from unpoison.core.images import ArrayImageSet
from unpoison.reporting.audit import audit_page

STRANGE = "</script><img src=x onerror=alert(1)>"


def _data(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def _headline(page: str) -> str:
    return re.search("<h1>(.*?)</h1>", page)[1]


@pytest.mark.parametrize(
    ("answer", "headline", "said"),
    [
        ("poisoned", "This set looks poisoned", "What speaks for it"),
        ("nothing found", "Nothing was found in this set", "What may be there all the same"),
        ("cannot tell", "No answer: this set cannot be judged", "the set is small"),
    ],
)
def test_each_answer_is_said_in_words(make_audit, answer, headline, said):
    page = audit_page(*make_audit(answer=answer))
    assert _headline(page) == headline
    assert said in page
    assert "None of 101 clean sets, each judged by others alone, is as surprising; in truth it may be up to 4 %" in page


def test_advice_is_said_if_there_is_any(make_audit):
    assert "What to do:</b> Purify &lt;it&gt;." in audit_page(*make_audit(), advice="Purify <it>.")
    assert "What to do" not in audit_page(*make_audit())


def test_the_strongest_evidence_comes_first_and_what_is_silent_is_folded(make_audit):
    page = audit_page(*make_audit(surprises={"repeats.repeat_max": 12.0, "pixels.pixel": 6.0, "coarse.side_4": 2.0}))
    titles = [WORDS[kind].title for kind in ("repeats", "pixels")]
    silent = "Not seen: the class can be read from a few large blocks"
    order = [page.index(f'<details class="card bad" open><summary><span class="title">{title}') for title in titles]
    assert order[0] < order[1] < page.index(f'<details class="card good"><summary><span class="title">{silent}')
    kinds = {sign.partition(".")[0] for sign in SIGNS}
    assert f"<b>2 of {len(kinds)}</b> measurements stand out" in page
    assert len(re.findall("<details", page)) == len(kinds)


def test_strangers_names_are_text(make_audit):
    ids = [f"{STRANGE}{row}" for row in range(40)]
    page = audit_page(*make_audit(names=(STRANGE, "<b>&'\""), ids=ids))
    assert "<img src=x" not in page
    assert "<b>&'" not in page
    assert _data(page)["classes"] == [STRANGE, "<b>&'\""]
    assert {picture["id"] for picture in _data(page)["pictures"]} == set(ids)
    assert page.count("</script>") == 2


def test_the_page_needs_nothing_from_outside_and_runs_no_other_script(make_audit):
    page = audit_page(*make_audit())
    script = re.findall("<script>(.*?)</script>", page, re.DOTALL)
    assert len(script) == 1
    assert f"'sha256-{base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()}'" in page
    assert "default-src 'none'" in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert "://" not in page


def test_a_set_too_small_to_be_measured_has_a_page(make_audit):
    page = audit_page(*make_audit(4, answer="cannot tell", views=()))
    assert _headline(page).startswith("No answer")
    assert "<details" not in page
    assert 'id="data"' not in page


def test_large_pictures_are_shown_whole_and_mixed_sizes_do_no_harm(make_audit):
    audit, image_set = make_audit(12, side=150, views=("detail", "whole"))

    class Mixed(ArrayImageSet):
        def pixels(self, index):
            return image_set.images[index][: 20 + 10 * index]

    page = audit_page(audit, Mixed(image_set.images, image_set.labels, class_names=image_set.class_names))
    data = _data(page)
    assert data["cut"] == audit.verdict.findings[0].view
    assert all("original" in picture for picture in data["pictures"])
    assert "in the whole pictures, shrunk to 32x32" in page


@pytest.mark.parametrize(("count", "classes", "side"), [(10, 2, 32), (2500, 1000, 32), (400, 2, 224)])
def test_any_number_of_pictures_and_classes_stays_under_8_mb(make_audit, count, classes, side):
    page = audit_page(*make_audit(count, tuple(f"class {label:04d}" for label in range(classes)), side=side))
    assert len(page.encode()) < 8_000_000
    assert len(_data(page)["pictures"]) == min(count, 200)
    assert page.count('class="class" data-class') == min(classes, 20)
    assert (f"most suspicious of {classes:,} classes" in page) == (classes > 20)


def test_pictures_of_the_gallery_are_ordered_and_have_their_nearest(make_audit):
    audit, image_set = make_audit(60)
    view = audit.views["detail"]
    view.residuals[7] = view.residuals[9] = np.random.default_rng(5).normal(0, 9, (32, 32, 3))
    data = _data(audit_page(audit, image_set))
    scores = [picture["score"] for picture in data["pictures"]]
    assert scores == sorted(scores, reverse=True)
    near = {picture["id"]: [other["id"] for other in picture["near"]] for picture in data["pictures"]}
    assert near["00000007"][0] == "00000009"
    assert near["00000009"][0] == "00000007"
    assert all(len(others) == 2 for others in near.values())


def test_a_class_of_one_picture_has_no_nearest(make_audit):
    data = _data(audit_page(*make_audit(3, ("a", "b"))))
    assert sorted(len(picture["near"]) for picture in data["pictures"]) == [0, 1, 1]


def test_every_class_has_pictures_in_the_gallery_though_another_is_more_suspicious(make_audit):
    audit, image_set = make_audit(1000, ("a", "b"))
    audit.suspicion[audit.labels == 1] += 100
    data = _data(audit_page(audit, image_set))
    assert [picture["class"] for picture in data["pictures"]] == [1] * 170 + [0] * 30
