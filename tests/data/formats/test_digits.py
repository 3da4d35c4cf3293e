from __future__ import annotations

import hashlib

import numpy as np
import pytest

from unpoison.core.errors import SettingsError
from unpoison.data import read
from unpoison.data.formats.digits import double


def test_splits_are_disjoint_and_whole():
    splits = {name: read(f"digits#{name}") for name in ("sparse", "train", "test")}
    assert {name: len(image_set) for name, image_set in splits.items()} == {"sparse": 200, "train": 1000, "test": 597}
    ids = [image_id for image_set in splits.values() for image_id in image_set.ids]
    assert sorted(ids) == [f"{row:08d}" for row in range(1797)]
    assert set(splits["sparse"].count_per_class().values()) == {20}


def test_default_is_train():
    image_set = read("digits")
    assert image_set.content_hash == read("digits#train").content_hash
    assert (image_set.name, image_set.format) == ("digits", "digits")
    assert image_set.array().shape == (1000, 16, 16, 3)
    assert image_set.picture(0).mode == "L"
    assert image_set.array().max() == 255


def test_pixels_never_change():
    # Records of the demo and its tests rest on these bytes.
    pixels = read("digits#test").array().tobytes()
    assert hashlib.sha256(pixels).hexdigest().startswith("8a9691fb2674fdf1")


def test_unknown_split():
    with pytest.raises(SettingsError, match="sparse, train, test"):
        read("digits#valid")


def test_doubling_is_bilinear():
    grey = np.array([[[0, 160], [80, 240]]], np.uint8)
    quarters = np.array([0, 0.25, 0.75, 1])
    expected = 80 * quarters[:, None] + 160 * quarters[None]
    np.testing.assert_array_equal(double(grey)[0], expected)
