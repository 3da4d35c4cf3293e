"""The pages of what purification changed say what they show, and hold nothing that a stranger wrote."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from unpoison.core.errors import DataError
from unpoison.core.images import ArrayImageSet
from unpoison.core.manifest import Manifest, Step
from unpoison.data import read, write
from unpoison.reporting.changes import changes_page, most_changed, panel, preview_page
from unpoison.runs.preview import Example


def _example(height: int, width: int, image_id: str = "a/1") -> Example:
    before = np.random.default_rng(0).integers(0, 200, (height, width, 3), dtype=np.uint8)
    return Example(image_id, "a", before, before + np.uint8(6))


def _pictures(page: str) -> list[np.ndarray]:
    encoded = re.findall(r'src="data:image/png;base64,([^"]*)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in encoded]


def _manifest(change: dict, **facts: float) -> Manifest:
    step = Step(
        action="purify", method="fast", settings={}, seed=0, source="", result="", versions={}, device="cpu",
        facts={"change_255": change, **facts},
    )  # fmt: skip
    return Manifest(name="set", format="folder", count=1234, per_class={}, steps=[step])


@pytest.mark.parametrize(
    ("size", "zoom", "note"),
    [((32, 32), 4, ""), ((64, 40), 2, ""), ((224, 224), 1, ""), ((768, 100), 1, "the middle 100x224 of 100x768")],
)
def test_small_pictures_are_enlarged_and_large_ones_cut(size, zoom, note):
    example = _example(*size)
    one = panel(example)
    assert (one.zoom, one.note) == (zoom, note)
    assert one.change_255 == pytest.approx(6)
    middle = (size[0] - one.example.before.shape[0]) // 2
    assert np.array_equal(one.example.before[0], example.before[middle])
    assert one.example.before.base is None or one.example.before.base.size <= 3 * 224 * 224


def test_a_preview_shows_before_after_and_difference():
    examples = [_example(8, 8), _example(300, 20, "<img src=x>")]
    page = preview_page(
        [panel(example) for example in examples], name="<b>", total=5000, settings={"fast": {"model": "<i>"}}, seed=3
    )
    pictures = _pictures(page)
    assert len(pictures) == 6
    assert np.array_equal(pictures[0], examples[0].before)
    assert np.array_equal(pictures[1], examples[0].after)
    assert (pictures[2] == 128 + 8 * 6).all()
    assert "8 times" in page
    assert "Method fast (model &lt;i&gt;), seed 3." in page
    assert "2 of 5,000 pictures" in page
    assert "<img src=x>" not in page
    assert "<b>:" not in page
    assert "http:" not in page
    assert "https:" not in page


def test_a_page_of_changes_has_bars_and_the_most_changed():
    change = {"mean": 6.54, "per_class": {"<cat>": 2.0, "dog": 8.0}, "largest": {"a/1": 6.0}}
    page = changes_page(_manifest(change), [panel(_example(8, 8))])
    assert "6.5" in page
    assert page.index("dog") < page.index("&lt;cat&gt;")
    assert "width:25.0%" in page
    assert "1,234 pictures" in page
    assert len(_pictures(page)) == 3


def test_a_page_of_changes_says_what_is_usual():
    change = {"mean": 6.5, "quantiles": {"0.05": 2.04, "0.5": 6, "0.95": 13}, "per_class": {}, "largest": {}}
    page = changes_page(_manifest(change), [])
    assert "Usual in this set is a change of 2.0 to 13.0" in page
    assert "half of them have less than 6.0" in page
    assert "a large change is no sign of poison" in page
    assert "Noise of" not in page
    assert "Noise of 25.0 was added" in changes_page(_manifest(change, sigma_255=25.0), [])


def test_many_classes_are_cut_to_the_most_changed():
    per_class = {f"class {number:03d}": float(number) for number in range(100)}
    page = changes_page(_manifest({"mean": 1.0, "per_class": per_class, "largest": {}}), [])
    assert "class 080" in page
    assert "class 079" not in page
    assert "20 most changed of 100 classes" in page


@pytest.mark.parametrize("target", ["result", "result.npz"])
@pytest.mark.parametrize("in_folder", [True, False])
def test_the_most_changed_are_read_again_from_any_format(make_set, tmp_path, target, in_folder):
    made = make_set(6)
    ids = [f"{made.class_names[label]}/x{row}" for row, label in enumerate(made.labels)] if in_folder else made.ids
    source = ArrayImageSet(made.images, made.labels, class_names=made.class_names, ids=ids)
    changed = ArrayImageSet(made.images + np.uint8(3), made.labels, class_names=made.class_names, ids=ids)
    write(changed, tmp_path / target)
    largest = {ids[4]: 3.0, ids[1]: 3.0}
    examples = list(most_changed({"largest": largest}, source, read(tmp_path / target)))
    assert [example.image_id for example in examples] == [ids[4], ids[1]]
    assert np.array_equal(examples[0].before, made.images[4])
    assert examples[0].change_255 == 3
    assert examples[0].class_name == "c1"


def test_a_picture_that_is_gone_is_named(make_set):
    with pytest.raises(DataError, match="00000007"):
        list(most_changed({"largest": {"00000007": 1.0}}, make_set(6), make_set(6)))
