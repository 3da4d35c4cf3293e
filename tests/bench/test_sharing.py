"""Pictures that an attack left alone are purified once, and nobody can tell."""

from __future__ import annotations

import numpy as np
import pytest

from unpoison.bench import sharing
from unpoison.bench.running import run_suite
from unpoison.bench.sharing import can_share, changed_rows, purify_changed
from unpoison.core.images import ArrayImageSet
from unpoison.core.manifest import manifest_path, read_manifest
from unpoison.data import read, write
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.run import PurifyRun
from unpoison.runs.to_files import purify_to

SUITE = """
name = "small"
[sets]
train = "train.npz"
test = "test.npz"
other = { source = "other.npz", size = 16 }
[models.energy]
kind = "energy"
fit = "other"
profile = ["ebm-small"]
set = { iterations = 2, batch_size = 4, bank_size = 8, langevin_steps = 1, arguments = { width = 4 }, plots = false }
[models.net]
fit = "other"
profile = ["ddpm250-small"]
set = { iterations = 2, batch_size = 4, arguments = { channels = 8, blocks = [1, 1, 1] }, plots = false }
[attacks.none]
[attacks.lsp]
attack = "lsp"
fraction = 0.125
[defences.none]
[defences.ebm]
purify = "puregen-ebm"
model = "energy"
set = { steps = 2 }
[defences.naive]
purify = "puregen-naive"
model = "net"
energy = "energy"
set = { langevin_steps = 2, t = 2 }
[train]
set = { epochs = 1, width = 4, batch_size = 8 }
"""


@pytest.fixture
def base(make_set):
    return make_set(40)


def poisoned(base, rows):
    images = base.array().copy()
    images[rows, :4, :4] = 255 - images[rows, :4, :4]
    return ArrayImageSet(images, base.labels, class_names=base.class_names, ids=base.ids, name=base.name)


def run_of(method, **overrides):
    return PurifyRun(purifier_settings(method, overrides=overrides), seed=3, microbatch=4)


def test_the_same_set_as_purified_whole(base, tmp_path, monkeypatch):
    run = run_of("fast", sigma="25/255")
    changed = poisoned(base, [3, 17, 18])
    purify_to(base, tmp_path / "base.npz", run, device="cpu")
    purify_to(changed, tmp_path / "whole.npz", run, device="cpu")
    asked = []
    purify = sharing.purify_in_memory
    monkeypatch.setattr(
        sharing, "purify_in_memory", lambda part, *rest, **named: asked.append(part.ids) or purify(part, *rest, **named)
    )
    purify_changed(changed, tmp_path / "shared.npz", run, base=base, purified=read(tmp_path / "base.npz"), device="cpu")
    assert [list(ids) for ids in asked] == [[base.ids[row] for row in (3, 17, 18)]]
    whole, shared = (read_manifest(manifest_path(tmp_path / f"{name}.npz")) for name in ("whole", "shared"))
    assert np.array_equal(read(tmp_path / "shared.npz").array(), read(tmp_path / "whole.npz").array())
    assert shared == whole


def test_a_suite_fits_energy_models_on_resized_pictures_and_shares(make_set, tmp_path):
    for name, side, seed in (("train", 16, 0), ("test", 16, 1), ("other", 32, 2)):
        write(make_set(24, side=side, seed=seed), tmp_path / f"{name}.npz")
    (tmp_path / "suite.toml").write_text(SUITE)
    records = run_suite(tmp_path / "suite.toml", tmp_path / "out", root=tmp_path)
    cells = {(record.settings["attack"], record.settings["defence"]): record for record in records}
    purified = cells["lsp", "naive"]
    assert purified.settings["fit_energy"]["langevin_steps"] == 1
    assert purified.settings["fit"]["iterations"] == 2
    assert set(purified.inputs) == {"poisoned", "purified", "test", "model", "energy"}
    assert (
        purified.settings["purify"]["puregen-naive"]["energy"] != purified.settings["purify"]["puregen-naive"]["model"]
    )
    clean, poisoned = (read_set(tmp_path, cells[attack, "naive"]) for attack in ("none", "lsp"))
    same = (clean == poisoned).all(axis=(1, 2, 3))
    assert 0 < same.sum() == 24 - 3  # one picture of each class carries the poison
    # The energy model alone is the model of puregen-ebm.
    assert cells["none", "ebm"].settings["fit"] == purified.settings["fit_energy"]


def read_set(root, record):
    found = [read(path) for path in (root / "out/small/cache/sets").glob("*.npz")]
    return next(one.array() for one in found if one.content_hash == record.inputs["purified"])


def test_only_where_most_pictures_are_the_same_and_each_stands_alone(base):
    assert can_share(poisoned(base, [1]), base, run_of("jpeg"))
    assert can_share(poisoned(base, np.arange(20)), base, run_of("jpeg"))
    assert not can_share(poisoned(base, np.arange(21)), base, run_of("jpeg"))
    assert not can_share(base, base, run_of("jpeg"))
    # Filt ranks the whole set: what it does to a picture depends on the others.
    assert not can_share(poisoned(base, [1]), base, run_of("puregen-filt"))
    assert list(changed_rows(poisoned(base, [5, 2]), base)) == [2, 5]
