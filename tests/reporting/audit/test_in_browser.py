"""The page of an audit as a person uses it, in headless Chromium: on a desk and on a phone."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import pytest

from unpoison.reporting.audit import audit_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
# The page lies in a frame, so that it is as wide as it says; what came of the steps replaces the text around it.
FRAME = """<!doctype html><iframe id="frame" src="page.html" width="{width}" height="800"></iframe><script>
frame.onload = () => {{
  const page = frame.contentDocument, root = page.documentElement, find = (id) => page.getElementById(id);
  const cards = () => [...page.querySelectorAll("article")].filter((card) => !card.hidden);
  const key = (key) => page.activeElement.dispatchEvent(
    new frame.contentWindow.KeyboardEvent("keydown", {{ key, bubbles: true, cancelable: true }}));
  const found = {{ width: root.scrollWidth, room: root.clientWidth }};
  const change = (id, value) => {{ find(id).value = value; find(id).dispatchEvent(new Event("input")); }};
  {steps}
  document.body.textContent = JSON.stringify(found);
}};
</script>"""
STRANGE = "</script><img src=x onerror=\"document.title = parent.document.title = 'broken in'\">"


@pytest.fixture
def use(tmp_path):
    """Open a page at some width, take some steps, and give what they found."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium, which is not on this machine")

    def use(page: str, steps: str, *, width: int = 1400) -> dict:
        (tmp_path / "page.html").write_text(page)
        (tmp_path / "frame.html").write_text(FRAME.format(width=width, steps=steps))
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--allow-file-access-from-files",
            "--window-size=1500,900",
        ]
        command = [CHROMIUM, *flags, f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=10000"]
        shown = subprocess.run(
            [*command, "--dump-dom", f"file://{tmp_path / 'frame.html'}"], capture_output=True, text=True, timeout=120
        ).stdout
        assert "<title>broken in" not in shown
        return json.loads(html.unescape(re.search("<body>(.*)</body>", shown, re.DOTALL)[1]))

    return use


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
