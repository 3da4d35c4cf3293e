"""What the manifest says of how much was changed."""

from __future__ import annotations

import numpy as np
import pytest

from unpoison.core.images import ArrayImageSet
from unpoison.core.manifest import read_manifest
from unpoison.data import read, write
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.changes import change_facts
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.measuring import Change
from unpoison.runs.run import PurifyRun
from unpoison.runs.to_files import purify_to


def test_means_and_the_most_changed():
    images = np.zeros((20, 2, 2, 3), np.uint8)
    image_set = ArrayImageSet(images, [-1, *[0] * 9, *[2] * 10], class_names=["a", "empty", "b"])
    changes = [50.0, *[float(row) for row in range(1, 10)], *[1 / 3] * 10]
    facts = change_facts(image_set, [Change(change, 1, 1) for change in changes])["change_255"]
    assert facts["mean"] == pytest.approx(np.mean(changes), abs=5e-4)
    assert list(facts["quantiles"]) == ["0.05", "0.5", "0.95"]
    assert list(facts["quantiles"].values()) == pytest.approx(np.quantile(changes, [0.05, 0.5, 0.95]), abs=5e-4)
    assert facts["per_class"] == {"a": 5.0, "b": 0.333}
    assert list(facts["largest"].items())[:3] == [("00000000", 50.0), ("00000009", 9.0), ("00000008", 8.0)]
    assert len(facts["largest"]) == 16
    assert list(facts["largest"])[-1] == "00000015"  # equal ones in the order of the set


def _set(count: int, classes: int = 4) -> ArrayImageSet:
    labels = np.arange(count) % classes
    return ArrayImageSet(np.zeros((count, 2, 2, 3), np.uint8), labels, class_names=[f"c{n}" for n in range(classes)])


def _changes(texture: np.ndarray, factor: np.ndarray) -> list[Change]:
    """Fine changes that follow the texture, but for a factor."""
    fine = (0.7 * (texture + 0.5) ** 0.9) * factor - 0.5
    return [Change(10, *values) for values in zip(fine.tolist(), texture.tolist(), strict=True)]


def test_unusual_is_not_what_has_most_texture():
    rng = np.random.default_rng(0)
    texture, factor = rng.uniform(2, 30, 400), np.exp(rng.normal(0, 0.05, 400))
    factor[[5, 77, 200]] = (1.5, 1.4, 1.3)
    changes = _changes(texture, factor)
    unusual = change_facts(_set(400), changes)["change_255"]["unusual"]
    assert list(unusual["pictures"])[:3] == ["00000005", "00000077", "00000200"]
    for row, ratio in ((5, 1.5), (77, 1.4)):
        told = unusual["pictures"][f"{row:08d}"]
        assert told["ratio"] == pytest.approx(ratio, rel=0.02)
        assert told["fine"] == pytest.approx(changes[row].fine_255, abs=1e-3)
        assert told["usual"] == pytest.approx((told["fine"] + 0.5) / told["ratio"] - 0.5, abs=0.01)
    assert 0.97 < unusual["explained"] < 1
    assert unusual["quantiles"]["0.5"] == pytest.approx(1, abs=0.01)
    assert unusual["quantiles"]["0.95"] == pytest.approx(np.exp(0.05 * 1.645), abs=0.02)
    assert unusual["per_class"]["c1"] == pytest.approx(factor[1::4].mean(), abs=0.01)


def test_many_outliers_do_not_bend_what_is_usual():
    rng = np.random.default_rng(1)
    texture = rng.uniform(2, 30, 1000)
    factor = np.where((texture > 20) & (rng.random(1000) < 0.4), 1.5, 1.0)
    unusual = change_facts(_set(1000), _changes(texture, factor))["change_255"]["unusual"]
    assert unusual["quantiles"]["0.5"] == pytest.approx(1, abs=0.01)
    assert all(told["ratio"] == pytest.approx(1.5, abs=0.03) for told in list(unusual["pictures"].values())[:32])
    assert all(told["ratio"] == pytest.approx(1, abs=0.01) for told in unusual["typical"].values())


def test_every_class_has_a_few_of_its_most_unusual():
    changes = _changes(np.full(400, 9.0), np.where(np.arange(400) % 4 == 0, 1.2, 1) + np.arange(400) / 1e4)
    image_set = _set(400)
    pictures = list(change_facts(image_set, changes)["change_255"]["unusual"]["pictures"])
    assert pictures[:32] == [f"{row:08d}" for row in range(396, 268, -4)]
    assert pictures[32:] == [f"{row:08d}" for row in (399, 398, 397, 395, 394, 393, 391, 390, 389)]
    many = change_facts(_set(400, classes=100), changes)["change_255"]["unusual"]
    assert len(many["pictures"]) == 32
    assert len(many["typical"]) == 8
    assert not set(many["typical"]) & set(many["pictures"])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_pictures_and_none_that_changed(count):
    for change in (Change(0, 0, 0), Change(3, 2, 1)):
        unusual = change_facts(_set(count), [change] * count)["change_255"]["unusual"]
        assert {told["ratio"] for told in unusual["pictures"].values()} == {1}
        assert len(unusual["pictures"]) == count


def test_in_memory_and_on_disk_agree(make_set, tmp_path):
    image_set = make_set(9)
    run = PurifyRun(purifier_settings("jpeg"))
    purified, step = purify_in_memory(image_set, run)
    write(image_set, tmp_path / "in")
    purify_to(read(tmp_path / "in"), tmp_path / "out", run)
    written = read_manifest(tmp_path / "out" / "manifest.json").steps[-1].facts["change_255"]
    difference = purified.array().astype(float) - image_set.array()
    expected = np.sqrt(np.square(difference).mean(axis=(1, 2, 3)))
    assert written["per_class"] == step.facts["change_255"]["per_class"]
    assert written["mean"] == step.facts["change_255"]["mean"] == pytest.approx(expected.mean(), abs=1e-3)
    most = int(expected.argmax())
    assert next(iter(written["largest"])) == f"c{most % 3}/{most:08d}"
    assert written["unusual"]["explained"] == step.facts["change_255"]["unusual"]["explained"]
    assert written["largest"] == dict(sorted(written["largest"].items(), key=lambda item: -item[1]))
