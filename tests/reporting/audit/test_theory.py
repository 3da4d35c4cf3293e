"""The theory in words: what was measured, what it means, and names of strangers as text."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from unpoison.auditing.theory import DenoiserError, Diagnostics, Level, Readable, Remaining
from unpoison.reporting.audit import audit_page
from unpoison.reporting.audit.theory import curve, describe_theory, theory_rows, theory_table

STRANGE = "<img src=x onerror=alert(1)>"
FOUND = Diagnostics(
    originals="clean.npz",
    method="fast",
    pictures=2000,
    images=2500,
    changed=25,
    squared_length=1.69,
    levels=(Level(10, 0.0053, 30084.0), Level(100, 0.02497, 1355.0), Level(3000, 1.2177, 0.57)),
    one_nat=0.919,
    sigma=25 / 255,
    noise_cap=87.9,
    training_cap=95.4,
    denoiser=(DenoiserError(10 / 255, 0.25, 0.28),),
    remaining=(Remaining("all", 1.0, 0.426), Remaining("fine", 0.1, -0.001)),
    energy=0.31,
    before=Readable(0.99, 0.31, 1.0),
    after=Readable(0.34, 0.28, 0.5),
)


def test_each_diagnostic_is_said_with_what_it_means():
    said = describe_theory(FOUND)
    for part in (
        "2,000 of 2,500 pictures",
        "25 of them differ",
        "1,355 nats at 6.37/255, ECLIPSE's t = 100; 88 nats at 25/255, the noise of fast; 1 nat only at 234/255",
        "at most 88 nats: 88 nats by the noise of fast, 95 nats by the noise of training",
        "0.280 against 0.250 at 10/255",
        "all 43 %, fine 0 %; energy 31 %",
        "poisoned 99 % to 34 %, clean 31 % to 28 %, difference 100 % to 50 %",
        "None of it is a proof",
    ):
        assert part in said


def test_a_purifier_without_noise_of_its_own_has_one_cap():
    without = replace(FOUND, method="jpeg", sigma=None, noise_cap=None)
    assert theory_rows(without)[1].value == "at most 95 nats: 95 nats by the noise of training"
    assert "noise of" not in curve(without).replace("of the noise", "")


def test_sets_stand_below_each_other_in_a_table():
    head, rule, *rows = theory_table({"lsp": FOUND, "ar": FOUND}).splitlines()
    assert head.count("|") == rule.count("|") == rows[0].count("|") == 7
    assert [row.split("|")[1].strip() for row in rows] == ["lsp", "ar"]


@pytest.mark.parametrize("views", [("detail",), ()], ids=["measured", "too small to measure"])
def test_the_page_has_a_section_only_with_originals(make_audit, views):
    audit, image_set = make_audit(answer="poisoned" if views else "cannot tell", views=views)
    assert "What theory says" not in audit_page(audit, image_set)
    page = audit_page(audit, image_set, theory=replace(FOUND, originals=STRANGE))
    assert re.search("<h2>What theory says</h2>", page)
    assert STRANGE not in page


@pytest.mark.parametrize("width", [1400, 390])
def test_the_curve_is_no_wider_than_the_screen(use, make_audit, width):
    page = audit_page(*make_audit(6), theory=FOUND)
    found = use(page, "found.curve = page.querySelector('#theory svg').getBoundingClientRect().width;", width=width)
    assert 300 < found["curve"] <= width
    assert found["width"] == found["room"]
