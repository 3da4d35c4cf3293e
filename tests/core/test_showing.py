"""How a set shows itself."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
from PIL import Image

from unpoison.core.images import ArrayImageSet
from unpoison.core.notes import Note
from unpoison.data import read


def test_a_table_with_pictures(make_set):
    image_set = make_set(40, classes=12)
    image_set.notes = (Note("files <left> alone", 2),)
    page = image_set._repr_html_()
    assert "array: 40 pictures of 16x16 in 12 classes" in page
    assert page.count("<tr>") == 10
    assert "and 2 more classes" in page
    assert "files &lt;left&gt; alone: 2" in page
    first = re.search('base64,([^"]+)', page)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(first[1]))))
    assert np.array_equal(shown, image_set.images[0])


def test_names_of_strangers_stay_text():
    image_set = ArrayImageSet(np.zeros((2, 4, 4, 3), np.uint8), [0, -1], class_names=["<b>"], ids=['"><script>', "x"])
    page = image_set._repr_html_()
    assert "<script>" not in page
    assert "&lt;b&gt;" in page
    assert "without label" in page


def test_large_and_broken_pictures(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("RGB", (900, 300)).save(tmp_path / "a" / "wide.png")
    (tmp_path / "a" / "bad.png").write_bytes(b"hello")
    page = read(tmp_path)._repr_html_()
    assert ">broken</span>" in page
    assert len(page) < 2000


def test_in_words(make_set):
    assert repr(make_set(5)) == "<ImageSet array: 5 pictures of 16x16 in 3 classes>"
    assert repr(make_set(5).subset([])) == "<ImageSet array: 0 pictures in 3 classes>"
