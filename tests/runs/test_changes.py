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
from unpoison.runs.run import PurifyRun
from unpoison.runs.to_files import purify_to


def test_means_and_the_most_changed():
    images = np.zeros((20, 2, 2, 3), np.uint8)
    image_set = ArrayImageSet(images, [-1, *[0] * 9, *[2] * 10], class_names=["a", "empty", "b"])
    changes = [50.0, *[float(row) for row in range(1, 10)], *[1 / 3] * 10]
    facts = change_facts(image_set, changes)["change_255"]
    assert facts["mean"] == pytest.approx(np.mean(changes), abs=5e-4)
    assert list(facts["quantiles"]) == ["0.05", "0.5", "0.95"]
    assert list(facts["quantiles"].values()) == pytest.approx(np.quantile(changes, [0.05, 0.5, 0.95]), abs=5e-4)
    assert facts["per_class"] == {"a": 5.0, "b": 0.333}
    assert list(facts["largest"].items())[:3] == [("00000000", 50.0), ("00000009", 9.0), ("00000008", 8.0)]
    assert len(facts["largest"]) == 16
    assert list(facts["largest"])[-1] == "00000015"  # equal ones in the order of the set


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
    assert written["largest"] == dict(sorted(written["largest"].items(), key=lambda item: -item[1]))
