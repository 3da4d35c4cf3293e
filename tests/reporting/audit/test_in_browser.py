"""The page of an audit as a person uses it, in headless Chromium: on a desk and on a phone."""

from __future__ import annotations

import pytest

from unpoison.reporting.audit import audit_page

STRANGE = "</script><img src=x onerror=\"document.title = parent.document.title = 'broken in'\">"


@pytest.mark.parametrize("width", [1400, 390])
def test_every_picture_is_there_and_nothing_is_wider_than_the_screen(use, make_audit, width):
    page = audit_page(*make_audit(30, ("cat" * 40, "dog"), ids=[f"{'x' * 200}{row}" for row in range(30)]))
    found = use(page, "found.cards = cards().length;", width=width)
    assert found["cards"] == 30
    assert found["width"] == found["room"]


def test_names_of_strangers_are_shown_and_do_nothing(use, make_audit):
    page = audit_page(*make_audit(10, (STRANGE, "dog"), ids=[f"{STRANGE}{row}" for row in range(10)]))
    found = use(page, "found.shown = cards().map((card) => card.querySelector('.id').textContent);")
    assert sorted(found["shown"]) == [f"{STRANGE}{row}" for row in range(10)]


def test_keys_decide_and_lists_hold_the_ids(use, make_audit):
    audit, image_set = make_audit(12)
    steps = """
      cards()[0].focus();
      key("d"); key("ArrowRight"); key("k"); key("ArrowRight"); key("d"); key("ArrowRight"); key("d"); key("d");
      found.drop = find("drop-list").value; found.keep = find("keep-list").value;
      key("Enter"); found.open = find("zoom").open;
      key("ArrowLeft"); found.zoomed = find("zoom").querySelector(".id").textContent;
      found.count = page.querySelector(".drops").textContent;"""
    found = use(audit_page(audit, image_set), steps)
    ids = [audit.ids[row] for row in (-audit.suspicion).argsort(kind="stable")]
    assert found["drop"] == f"{ids[0]}\n{ids[2]}\n"
    assert found["keep"] == f"{ids[1]}\n"
    assert found["open"]
    assert found["zoomed"] == ids[2]
    assert found["count"] == "2"


def test_filters_hide_what_is_not_asked_for(use, make_audit):
    audit, image_set = make_audit(12)
    steps = """
      page.querySelector("button.class[data-class='1']").click(); found.dogs = cards().length;
      find("drop-all").click(); change("class", ""); change("state", "none"); found.left = cards().length;
      change("state", ""); change("score", 0.5); found.high = cards().length;"""
    found = use(audit_page(audit, image_set), steps)
    assert (found["dogs"], found["left"]) == (6, 6)
    assert found["high"] == (audit.suspicion.round(2) >= 0.5).sum()


def test_an_id_of_several_lines_gets_on_no_list(use, make_audit):
    audit, image_set = make_audit(3, ids=["a", "b", "a\nb"])
    found = use(audit_page(audit, image_set), 'find("drop-all").click(); found.drop = find("drop-list").value;')
    assert sorted(found["drop"].split()) == ["a", "b"]
