"""A preview shows pictures of every class, with the pixels that the whole run gives them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from unpoison.core.images import ArrayImageSet
from unpoison.data import read
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.preview import Example, preview
from unpoison.runs.run import PurifyRun


@pytest.fixture
def run(tiny_model) -> PurifyRun:
    overrides = {"model": str(tiny_model), "sigma": "20/255"}
    return PurifyRun(purifier_settings("fast", overrides=overrides), seed=5, microbatch=8)


def test_the_same_pixels_as_the_whole_run(make_set, run):
    image_set = make_set(30)
    whole, _ = purify_in_memory(image_set, run, device="cpu")
    examples = list(preview(image_set, run, count=7, device="cpu"))
    assert len(examples) == 7
    assert {example.class_name for example in examples} == {"c0", "c1", "c2"}
    for example in examples:
        row = image_set.ids.index(example.image_id)
        assert example.class_name == image_set.class_names[image_set.labels[row]]
        assert np.array_equal(example.before, image_set.picture(row).rgb)
        assert np.array_equal(example.after, whole.picture(row).rgb)
        assert 1 < example.change.all_255 < 255


def test_sizes_may_differ_and_grey_stays_grey(tmp_path, run):
    (tmp_path / "set" / "a").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "set" / "a" / "grey.png")
    Image.fromarray(noise).convert("RGBA").save(tmp_path / "set" / "a" / "clear.png")
    Image.fromarray(noise).convert("LA").resize((7, 9)).save(tmp_path / "set" / "a" / "small.png")
    examples = {example.image_id: example for example in preview(read(tmp_path / "set"), run, device="cpu")}
    assert set(examples) == {"a/grey", "a/clear", "a/small"}
    assert examples["a/small"].after.shape == (9, 7, 3)
    assert np.ptp(examples["a/grey"].after, axis=2).max() == 0
    assert np.ptp(examples["a/clear"].after, axis=2).max() > 0


def test_change_is_the_root_mean_square():
    before = np.zeros((2, 2, 3), np.uint8)
    after = before.copy()
    after[0, 0] = 200
    assert Example("x", "", before, after).change.all_255 == pytest.approx(100)
    assert Example("x", "", after, before).change.all_255 == pytest.approx(100)


def test_an_empty_set_has_no_examples(run):
    empty = ArrayImageSet(np.zeros((0, 8, 8, 3), np.uint8), [])
    assert list(preview(empty, run, device="cpu")) == []
