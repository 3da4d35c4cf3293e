"""What is stored of a purified picture, and how a block of them travels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from unpoison.core.hashing import hash_picture
from unpoison.core.picture import Picture
from unpoison.runs.blocks import PurifiedPicture, finish_picture, pack, unpack
from unpoison.runs.measuring import Change

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))


def _picture(data, number: int) -> PurifiedPicture:
    change = Change(number / 4, number / 8, number)
    return PurifiedPicture(data, bytes([number]) * 32, bytes([number, 0]) * 16, "L" * (number % 3 + 1), change)


@given(shapes=st.lists(SHAPES, min_size=1, max_size=6), png=st.booleans())
def test_a_block_survives_packing(shapes, png):
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, shape, np.uint8) for shape in shapes]
    block = [_picture(array.tobytes() if png else array, number) for number, array in enumerate(arrays)]
    again = unpack(pack(block))
    assert pack(again) == pack(block)
    for before, after in zip(block, again, strict=True):
        assert type(before.data) is type(after.data)
        assert np.array_equal(before.data, after.data)
        assert before == PurifiedPicture(before.data, *list(vars(after).values())[1:])


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1), ("RGBA", 4), ("LA", 2)])
def test_what_is_stored_of_a_picture(mode, channels):
    rng = np.random.default_rng(1)
    before, purified = rng.integers(0, 256, (2, 7, 5, 3), np.uint8)
    alpha = rng.integers(0, 256, (7, 5), np.uint8) if mode.endswith("A") else None
    raw = finish_picture(Picture(before, mode, alpha), purified, 2, png=False)
    png = finish_picture(Picture(before, mode, alpha), purified, 2, png=True)
    assert raw.data.shape == (7, 5, channels)
    with Image.open(io.BytesIO(png.data)) as image:
        assert image.mode == mode
        assert np.array_equal(np.asarray(image).reshape(7, 5, channels), raw.data)
        seen = np.asarray(image.convert("RGB"))
    assert raw.result_hash == png.result_hash == hash_picture(seen, 2)
    assert raw.source_hash == hash_picture(before, 2)
    assert raw.change.all_255 == pytest.approx(np.sqrt(np.square(seen - before.astype(float)).mean()))
