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
from unpoison.reporting import changes
from unpoison.reporting.changes import changes_page, preview_page, read_examples
from unpoison.reporting.panels import panel
from unpoison.runs.preview import Example

USUAL = {"ratio": 1.0, "fine": 5.0, "usual": 5.0}


def _example(height: int, width: int, image_id: str = "a/1", class_name: str = "a") -> Example:
    before = np.random.default_rng(0).integers(0, 200, (height, width, 3), dtype=np.uint8)
    return Example(image_id, class_name, before, before + np.uint8(6))


def _pictures(page: str) -> list[np.ndarray]:
    encoded = re.findall(r'src="data:image/png;base64,([^"]*)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in encoded]


def _manifest(change: dict, settings: dict | None = None, **facts: float) -> Manifest:
    step = Step(
        action="purify", method="fast", settings=settings or {}, seed=0, source="", result="", versions={},
        device="cpu", facts={"change_255": change, **facts},
    )  # fmt: skip
    return Manifest(name="set", format="folder", count=1234, per_class={}, steps=[step])


def _change(pictures: dict, typical: dict | None = None, **more: object) -> dict:
    quantiles = {"0.05": 2.04, "0.5": 6.0, "0.95": 13.0}
    unusual = {
        "explained": 0.953,
        "quantiles": {"0.05": 0.93, "0.5": 1.0, "0.95": 1.08},
        "per_class": {"<cat>": 1.25, "dog": 0.995},
        "pictures": pictures,
        "typical": typical or {},
    }
    per_class = {"<cat>": 2.0, "dog": 8.0}
    about = {"mean": 6.54, "quantiles": quantiles, "per_class": per_class, "largest": {}, "unusual": unusual}
    return {**about, **more}


def test_a_preview_shows_before_after_and_what_changed():
    examples = [_example(8, 8), _example(300, 20, "<img src=x>", '"><i>')]
    page = preview_page(
        [panel(example) for example in examples], name="<b>", total=5000, settings={"fast": {"model": "<i>"}}, seed=3
    )
    pictures = _pictures(page)
    assert len(pictures) == 8
    assert np.array_equal(pictures[0], examples[0].before)
    assert np.array_equal(pictures[1], examples[0].after)
    assert (pictures[2] == 128).all()  # nothing of a constant change is fine
    assert (pictures[3] == 255).all()  # all of it is smooth, and the largest change of the page
    assert "black and white are 6 of 255 levels" in page
    assert "Method fast (model &lt;i&gt;), seed 3." in page
    assert "2 of 5,000 pictures" in page
    assert "<img src=x>" not in page
    assert "<i>" not in page.replace('<i style="', "")
    assert "<b>:" not in page
    assert "http:" not in page
    assert "https:" not in page
    assert '<select name="order">' not in page


def test_a_page_of_changes_ranks_what_is_unusual():
    told = {"c/1": {"ratio": 1.372, "fine": 7.13, "usual": 5.06}, "c/2": {**USUAL, "ratio": 0.9}}
    examples = [_example(8, 8, "c/1"), _example(8, 8, "c/2", "<b>"), _example(8, 8, "c/3")]
    page = changes_page(_manifest(_change(told, {"c/3": USUAL})), [panel(example) for example in examples])
    assert "6.5" in page
    assert "1,234 pictures" in page
    assert "Pictures with the most unusual change" in page
    assert "+37\u00a0%</b> a / c/1<br>fine change 7.1, usual for its texture 5.1; change 6.0" in page
    assert "\u221210\u00a0%</b> &lt;b&gt; / c/2" in page
    assert "Texture alone explains 95\u00a0%" in page
    assert "from \u22127\u00a0% to +8\u00a0%, the first at +37\u00a0%" in page
    assert page.index("For comparison") < page.index("a / c/3")
    assert page.count("data-class=") == 2  # what is usual stays in sight whatever class is chosen
    assert page.count("data-unusual=") == 3
    assert page.index("most unusual first") < page.index("largest change first")
    assert len(_pictures(page)) == 12


def test_classes_are_dots_against_the_spread_of_the_set():
    page = changes_page(_manifest(_change({"a/1": USUAL})), [panel(_example(8, 8))])
    mean, unusual = page[page.index("Mean change of each class") :].split("Unusual fine change of each class")
    assert mean.index("dog") < mean.index("&lt;cat&gt;")
    assert unusual.index("&lt;cat&gt;") < unusual.index("dog")
    assert "+25.0\u00a0%" in unusual
    assert "\u22120.5\u00a0%" in unusual


def test_a_manifest_of_an_earlier_version_is_still_drawn():
    change = {"mean": 6.54, "per_class": {"<cat>": 2.0, "dog": 8.0}, "largest": {"a/1": 6.0}}
    page = changes_page(_manifest(change), [panel(_example(8, 8))])
    assert "Pictures with the largest change" in page
    assert "their order says nothing of poison" in page
    assert "Unusual" not in page
    assert "For comparison" not in page
    assert page.index("dog") < page.index("&lt;cat&gt;")
    assert len(_pictures(page)) == 4


def test_a_page_of_changes_says_what_is_usual():
    page = changes_page(_manifest(_change({})), [])
    assert "Usual in this set is a change of 2.0 to 13.0" in page
    assert "half of them have less than 6.0" in page
    assert "a large change is no sign of poison" in page
    assert "Noise of" not in page
    white = changes_page(_manifest(_change({}), {"fast": {"field": "0"}}, sigma_255=25.0), [])
    assert "Noise of 25.0 was added" in white
    assert "random spots" not in white
    assert "random spots" in changes_page(_manifest(_change({}), {"fast": {"field": "16/255"}}, sigma_255=25.0), [])


@pytest.mark.parametrize("target", ["result", "result.npz"])
@pytest.mark.parametrize("in_folder", [True, False])
def test_the_pictures_of_a_page_are_read_again_from_any_format(make_set, tmp_path, target, in_folder):
    made = make_set(6)
    ids = [f"{made.class_names[label]}/x{row}" for row, label in enumerate(made.labels)] if in_folder else made.ids
    source = ArrayImageSet(made.images, made.labels, class_names=made.class_names, ids=ids)
    changed = ArrayImageSet(made.images + np.uint8(3), made.labels, class_names=made.class_names, ids=ids)
    write(changed, tmp_path / target)
    examples = list(read_examples(_change({ids[4]: USUAL}, {ids[1]: USUAL}), source, read(tmp_path / target)))
    assert [example.image_id for example in examples] == [ids[4], ids[1]]
    assert np.array_equal(examples[0].before, made.images[4])
    assert examples[0].change.all_255 == 3
    assert examples[0].class_name == "c1"
    of_old = {"largest": {ids[2]: 3.0}}
    assert [example.image_id for example in read_examples(of_old, source, read(tmp_path / target))] == [ids[2]]


def test_large_pictures_are_fewer(make_set, monkeypatch):
    made = make_set(6)
    monkeypatch.setattr(changes, "_PIXELS", 2 * int(made.sizes[0].prod()))
    change = _change(dict.fromkeys(made.ids[:4], USUAL), {made.ids[5]: USUAL})
    shown = [example.image_id for example in read_examples(change, made, made)]
    assert shown == [made.ids[0], made.ids[1], made.ids[5]]


def test_a_picture_that_is_gone_is_named(make_set):
    with pytest.raises(DataError, match="00000007"):
        list(read_examples({"largest": {"00000007": 1.0}}, make_set(6), make_set(6)))


@pytest.mark.parametrize("width", [1400, 390])
def test_a_page_of_changes_in_a_browser(use, width):
    """On a desk and on a phone: order, filter, zoom by key, the slider, and names that are only text."""
    strange = "</script><img src=x onerror=\"document.title = parent.document.title = 'broken in'\">"
    told = {f"{strange}{row}": {**USUAL, "ratio": 1.5 - row / 10} for row in range(6)}
    examples = [_example(8, 300, image_id, ("cat", strange)[row % 2]) for row, image_id in enumerate(told)]
    for row, example in enumerate(examples):
        example.after[:, : row + 1] += 50
    typical = _example(8, 8, "usual")
    page = changes_page(_manifest(_change(told, {"usual": USUAL})), [panel(one) for one in (*examples, typical)])
    steps = """
      const box = page.querySelector("dialog");
      const [kind, order] = page.querySelectorAll(".tools select");
      found.all = cards().map((card) => card.dataset.unusual);
      set(kind, "cat"); found.cats = cards().length; set(kind, "");
      set(order, "change"); found.largest = cards().slice(0, 6).map((card) => card.dataset.change);
      set(order, "unusual");
      cards()[1].querySelector(".panes").focus(); key("Enter"); found.open = box.open;
      key("ArrowLeft"); key("ArrowLeft"); found.shown = box.querySelector("figure").dataset.unusual;
      set(box.querySelector(".slide input"), 20); found.cut = box.querySelector(".slide").style.cssText;
      box.querySelectorAll(".pane img")[2].click(); found.solo = box.querySelectorAll(".solo .chosen").length;
      box.click(); found.closed = !box.open;"""
    found = use(page, steps, width=width)
    assert found["width"] == found["room"]
    assert found["all"] == ["1.5000", "1.4000", "1.3000", "1.2000", "1.1000", "1.0000", "1.0000"]
    assert found["largest"] == sorted(found["largest"], reverse=True)
    assert len(set(found["largest"])) == 6
    assert found["cats"] == 4  # with what is usual
    assert (found["open"], found["closed"], found["solo"]) == (True, True, 1)
    assert found["shown"] == "1.0000"  # round from the first to the last
    assert found["cut"] == "--cut: 20%;"
