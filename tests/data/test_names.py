"""Names of pictures and classes from files, where they become paths: what is written can be read, or is refused."""

from __future__ import annotations

import numpy as np
import pytest

from data.conftest import assert_one_line
from unpoison.core.errors import UnpoisonError
from unpoison.core.images import ArrayImageSet
from unpoison.data import read, write


def _make(ids=("0", "1"), class_names=("cat", "dog")):
    images = np.random.default_rng(0).integers(0, 256, (len(ids), 4, 4, 3), np.uint8)
    return ArrayImageSet(images, np.arange(len(ids)) % len(class_names), ids=ids, class_names=class_names)


@pytest.mark.parametrize(
    "names",
    [
        {"ids": ("a" * 251, "b")},
        {"ids": ("/".join(["a" * 200] * 12), "b")},
        {"ids": ("ä" * 130, "b")},  # two bytes each
        {"ids": ("a\nb", "c")},
        {"ids": ("a\x9bb", "c")},
        {"ids": ("a\u2028b", "c")},
        {"ids": (".a", "b")},
        {"ids": ("cat/.hidden/a", "b")},
        {"ids": ("a", "cat/a"), "class_names": ("cat",)},  # one path
        {"ids": ("a", "a.png/b"), "class_names": ("cat",)},  # a file and a folder
        {"class_names": ("c" * 251, "dog")},
        {"class_names": ("cat\ndog", "dog")},
        {"class_names": ("class_names.txt", "dog")},
        {"class_names": ("manifest.json", "dog")},
        {"class_names": (".cat", "dog")},
        {"class_names": ("train", "test")},
    ],
    ids=str,
)
def test_what_cannot_be_a_path_is_refused_before_anything_is_written(tmp_path, names):
    odd = _make(**names)
    with pytest.raises(UnpoisonError) as caught:
        write(odd, tmp_path / "out", format="folder")
    assert_one_line(caught.value)
    assert len(str(caught.value)) < 400
    assert not list(tmp_path.iterdir())
    write(odd, tmp_path / "out.npz")
    again = read(tmp_path / "out.npz")
    assert (again.ids, again.class_names) == (odd.ids, odd.class_names)


@pytest.mark.parametrize(
    "names",
    [
        {"ids": ("a" * 250, "b")},
        {"ids": ("cat/c.d/é", "1.2.3")},
        {"ids": ("a.png", "a"), "class_names": ("cat",)},
        {"ids": ("x/a", "x/a/b"), "class_names": ("cat",)},
        {"class_names": ("train", "dog")},
    ],
    ids=str,
)
def test_what_can_be_is_read_as_it_was(tmp_path, names):
    made = _make(**names)
    write(made, tmp_path / "out", format="folder")
    again = read(tmp_path / "out")
    assert again.class_names == made.class_names
    assert again.content_hash == made.content_hash


def test_texts_without_end_are_refused():
    with pytest.raises(UnpoisonError, match="10000 characters long"):
        _make(ids=("a" * 10_000, "b"))
