from __future__ import annotations

import numpy as np
import pytest

from unpoison.core.errors import DataError, SettingsError
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.core.picture import Picture


class _Sized(ImageSet):
    """Pictures of given sizes; 0 stands for a broken one."""

    def __init__(self, sizes):
        super().__init__("sized", [str(row) for row in range(len(sizes))], [-1] * len(sizes), (), np.array(sizes))

    def picture(self, index):
        if not self.sizes[index, 0]:
            raise DataError(f"{index}.png", "the picture is broken", "Remove it")
        return Picture(np.zeros((*self.sizes[index], 3), np.uint8))


def _set(count=5, **options):
    images = np.arange(count * 12, dtype=np.uint8).reshape(count, 2, 2, 3)
    return ArrayImageSet(images, [row % 2 for row in range(count)], **options)


def test_blocks_are_limited_in_pictures_and_pixels():
    assert list(_Sized([(8, 8)] * 600).blocks()) == [range(256), range(256, 512), range(512, 600)]
    huge = [(5000, 6000)] * 3 + [(9000, 9000)] + [(10, 10)]
    assert list(_Sized(huge).blocks()) == [range(2), range(2, 3), range(3, 4), range(4, 5)]
    assert list(_Sized([(8, 8)]).subset([]).blocks()) == []


def test_mixed_sizes_and_broken_pictures_have_no_array():
    with pytest.raises(SettingsError, match="from 2x4 to 5x4"):
        _Sized([(4, 2), (4, 5)]).array()
    with pytest.raises(DataError, match=r"1\.png"):
        _Sized([(4, 2), (0, 0)]).array()


def test_content_hash_is_independent_of_storage():
    whole = _set()
    assert whole.content_hash == _set(ids=list("abcde"), name="other", class_names=["x", "y"]).content_hash
    assert whole.content_hash == whole.subset(range(5)).content_hash
    assert whole.content_hash != whole.subset(range(4)).content_hash
    changed = whole.images.copy()
    changed[3, 1, 1, 2] ^= 1
    assert whole.content_hash != ArrayImageSet(changed, whole.labels).content_hash
    assert whole.content_hash != ArrayImageSet(whole.images, 1 - whole.labels).content_hash


def test_subset_keeps_names_format_and_labels():
    whole = _set()
    whole.format = "npz"
    part = whole.subset([4, 1])
    assert part.ids == ("00000004", "00000001")
    assert part.labels.tolist() == [0, 1]
    assert (part.name, part.format, part.class_names) == (whole.name, "npz", whole.class_names)
    np.testing.assert_array_equal(part.array(), whole.images[[4, 1]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ids": ["a", "b", "a", "c", "d"]}, "share the id 'a'"),
        ({"ids": ["a"]}, "1 pictures but 5 labels"),
        ({"class_names": ["one"]}, "label 1 is outside 0 to 0"),
    ],
)
def test_wrong_sets(options, message):
    with pytest.raises(DataError, match=message):
        _set(**options)


def test_wrong_arrays():
    for images in (np.zeros((1, 2, 2, 3)), np.zeros((1, 2, 2), np.uint8), np.zeros((1, 3, 2, 2), np.uint8)):
        with pytest.raises(SettingsError, match="must be uint8"):
            ArrayImageSet(images, [0])


@pytest.mark.parametrize(
    ("mode", "alpha", "channels"), [("L", False, 1), ("LA", True, 2), ("RGB", False, 3), ("P", True, 4)]
)
def test_restore(mode, alpha, channels):
    rgb = np.array([[[1, 2, 6]]], np.uint8)
    picture = Picture(rgb, mode, np.array([[9]], np.uint8) if alpha else None)
    restored = picture.restore(rgb)
    assert restored.shape == (1, 1, channels)
    assert restored[0, 0, 0] == (3 if mode.startswith("L") else 1)
    if alpha:
        assert restored[0, 0, -1] == 9


def test_torch_dataset():
    image, label = _set().as_torch()[3]
    assert image.shape == (3, 2, 2)
    assert image.max() <= 1
    assert label == 1
    assert _set().count_per_class() == {"0": 3, "1": 2}
