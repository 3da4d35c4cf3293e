"""Pages as a person uses them, in headless Chromium."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
# The page lies in a frame, so that it is as wide as it says; what came of the steps replaces the text around it.
FRAME = """<!doctype html><iframe id="frame" src="page.html" width="{width}" height="800"></iframe><script>
frame.onload = () => {{
  const page = frame.contentDocument, root = page.documentElement, find = (id) => page.getElementById(id);
  const cards = () =>
    [...page.querySelectorAll("article, .gallery figure.item")].filter((card) => !card.hidden);
  const key = (key) => page.activeElement.dispatchEvent(
    new frame.contentWindow.KeyboardEvent("keydown", {{ key, bubbles: true, cancelable: true }}));
  const found = {{ width: root.scrollWidth, room: root.clientWidth }};
  const set = (input, value) => {{
    input.value = value;
    for (const kind of ["input", "change"]) input.dispatchEvent(new Event(kind, {{ bubbles: true }}));
  }};
  const change = (id, value) => set(find(id), value);
  {steps}
  document.body.textContent = JSON.stringify(found);
}};
</script>"""


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
