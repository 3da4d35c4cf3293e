"""Pictures of what changed say what changed."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from unpoison.core.showing import data_uri
from unpoison.reporting.pages import Strip, page, strips
from unpoison.reporting.pictures import amplify_difference, tile_row


def test_difference_is_grey_where_nothing_changed():
    before = np.full((1, 4, 4, 3), 100, np.uint8)
    after = before.copy()
    after[0, 0, 0] = (110, 90, 200)
    shown = amplify_difference(after, before, factor=4)
    assert shown[0, 0, 0].tolist() == [168, 88, 255]
    assert (shown[0, 1:] == 128).all()


def test_a_row_holds_every_picture_enlarged():
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    row = tile_row(images, zoom=2)
    assert row.shape == (8, 2 * (3 * 5 + 2), 3)
    assert np.array_equal(row[::2, 12:22:2], images[1])
    assert (row[:, 10:12] == 255).all()


def test_a_page_is_one_file_and_escapes_names():
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    text = page("<b>title", strips([Strip("<script>alert(1)</script>", image)]))
    assert "<script>" not in text
    assert "&lt;b&gt;title" in text
    assert "http:" not in text
    assert "https:" not in text
    encoded = data_uri(image).split(",", 1)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded[1])))), image)
    assert encoded[0] == "data:image/png;base64"
