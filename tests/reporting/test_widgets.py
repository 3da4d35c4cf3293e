"""Widgets hold strangers' names as text, and the page lets no other script run."""

from __future__ import annotations

import base64
import hashlib
import re

from unpoison.reporting.pages import page
from unpoison.reporting.widgets import SCRIPT, STYLE, pane, slider, tools


def test_only_the_script_of_the_page_runs():
    text = page("title", "<p>body</p>", style=STYLE, script=SCRIPT)
    script = re.search(r"<script>(.*)</script>", text, re.DOTALL)[1]
    allowed = re.search(r"script-src 'sha256-([^']*)'", text)[1]
    assert base64.b64decode(allowed) == hashlib.sha256(script.encode()).digest()
    assert "default-src 'none'" in text
    assert "<script>" not in page("title", "<p>body</p>")


def test_a_gallery_is_filtered_by_any_class_name():
    text = tools(['"><b>', "cat", "cat"], {"unusual": "most unusual first", "change": "largest change first"})
    assert '<option value="&quot;&gt;&lt;b&gt;">&quot;&gt;&lt;b&gt; (1)</option>' in text
    assert '<option value="cat">cat (2)</option>' in text
    assert "all (3)" in text
    assert text.index("most unusual") < text.index("largest change")


def test_there_is_no_choice_of_one():
    assert "select" not in tools(["cat", "cat", ""], {"change": "largest change first"})


def test_panes_name_what_they_show():
    assert 'alt="&lt;fine&gt;"' in pane("data:,", "<fine>", width=3)
    both = slider("data:,a", "data:,b", "before | after", width=3)
    assert both.index("data:,a") < both.index("data:,b")
    assert 'type="range"' in both
