"""Dot plots: places on the axis, however many classes."""

from __future__ import annotations

import re

from unpoison.reporting.dots import dot_plot


def _draw(values, quantiles=()):
    return dot_plot(values, quantiles, "{:.1f}".format, axis="{:g}".format)


def test_a_dot_lies_at_its_value_and_the_spread_behind_it():
    text = _draw({"low": 2.0, "high": 8.0}, [0.0, 5.0, 10.0])
    assert re.findall(r'<b style="left:([0-9.]*)%', text) == ["77.8", "22.2"]  # 4 % are left free at both ends
    assert text.count('<i style="left:3.7%;width:92.6%">') == 2
    assert text.count('<u style="left:50.0%">') == 2
    assert re.findall(r"<small[^>]*>([^<]*)<", text) == ["0", "4", "8"]


def test_the_axis_runs_no_further_than_what_is_shown():
    text = _draw({"a": 14.0, "b": 15.0})
    assert re.findall(r'<b style="left:([0-9.]*)%', text) == ["96.3", "3.7"]
    assert "<i " not in text
    assert _draw({"a": 3.0}).count("<b ") == 1


def test_many_classes_are_there_when_asked_for():
    text = _draw({f"class {number:04d}": float(number) for number in range(1200)})
    shown, more = text.split("<details>")
    assert (shown.count("<b "), more.count("<b ")) == (20, 980)
    assert shown.index("class 1199") < shown.index("class 1180")
    assert "and 980 classes below them. Of 1,200, these are the highest." in more
