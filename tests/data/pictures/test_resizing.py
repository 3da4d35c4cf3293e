from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from unpoison.core.errors import DataError, SettingsError
from unpoison.data import read, resize


@pytest.fixture
def mixed(tmp_path):
    """A wide, a tall and a small picture, and one with transparency."""
    root = tmp_path / "mixed"
    (root / "a").mkdir(parents=True)
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = (10, 200, 30)  # only the middle may be left
    Image.fromarray(wide).save(root / "a" / "wide.png")
    Image.fromarray(wide.transpose(1, 0, 2)).save(root / "a" / "tall.png")
    Image.new("L", (3, 3), 77).save(root / "a" / "small.png")
    Image.new("RGBA", (12, 8), (1, 2, 3, 99)).save(root / "a" / "clear.png")
    return root


def test_the_middle_of_every_picture_at_one_size(mixed):
    with pytest.raises(SettingsError, match="unpoison convert SRC DST --size"):
        read(mixed).array()
    resized = resize(read(mixed), 4)
    images = dict(zip(resized.ids, resized.array(), strict=True))
    assert resized.array().shape == (4, 4, 4, 3)
    # Lanczos reaches over the edge of the middle part by less than a pixel; its inner columns hold nothing else.
    assert np.abs(images["a/wide"][:, 1:3].astype(int) - (10, 200, 30)).max() <= 12
    np.testing.assert_array_equal(images["a/tall"], images["a/wide"].transpose(1, 0, 2))
    assert (images["a/small"] == 77).all()
    clear = resized.picture(resized.ids.index("a/clear"))
    assert clear.alpha is not None
    assert (clear.alpha == 99).all()
    assert clear.alpha.shape == (4, 4)
    assert clear.mode == "RGBA"


def test_it_averages_what_a_pixel_covers(make_set):
    fine = make_set(2, side=16)
    fine.images[:] = 0
    fine.images[:, ::2] = 200  # stripes that picking pixels would turn into 0 or 200
    assert np.abs(resize(fine, 4).array().astype(int) - 100).max() <= 10


def test_what_stays(make_set):
    whole = make_set(6)
    resized = resize(whole, 8)
    assert (resized.ids, resized.class_names, resized.labels.tolist()) == (
        whole.ids,
        whole.class_names,
        whole.labels.tolist(),
    )
    np.testing.assert_array_equal(resize(whole, 16).array(), whole.array())
    assert resized.stamp(range(2)) != resize(whole, 4).stamp(range(2))
    with pytest.raises(SettingsError, match="choose 1 to 10000"):
        resize(whole, 0)


def test_a_broken_picture_is_named(mixed):
    (mixed / "a" / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken\.png"):
        resize(read(mixed), 4).array()
