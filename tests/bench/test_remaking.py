"""A set made again from its manifest is the same set."""

from __future__ import annotations

import json

import pytest

from unpoison.bench.remaking import remake
from unpoison.core.errors import ModelError, RunError
from unpoison.core.hashing import hash_file
from unpoison.data import read, write
from unpoison.poisons.crafting import poison, write_poisoned
from unpoison.purifiers.building import purifier_settings
from unpoison.purifiers.runner import purify_to
from unpoison.purifiers.work import PurifyRun


@pytest.fixture
def chain(make_set, tmp_path, tiny_model):
    """clean.npz -> bad.npz -> good.npz, each with its manifest."""
    write(make_set(12), tmp_path / "clean.npz")
    clean = read(str(tmp_path / "clean.npz"))
    result = poison(clean, "urp", seed=5, fraction=0.5)
    write_poisoned(result, clean, tmp_path / "bad.npz")
    overrides = {"jpeg.quality": 40, "eclipse.model": str(tiny_model), "eclipse.t": 3}
    run = PurifyRun(purifier_settings("jpeg+eclipse", overrides=overrides), seed=2)
    purify_to(read(str(tmp_path / "bad.npz")), tmp_path / "good.npz", run, history=[result.step])
    return tmp_path


def test_the_last_step_from_the_set_beside_it(chain, tiny_model):
    comparison = remake(chain / "good.npz.manifest.json", chain / "again.npz", models=[tiny_model])
    assert comparison.same
    assert hash_file(chain / "again.npz") == hash_file(chain / "good.npz")
    assert (chain / "again.npz.manifest.json").read_text() == (chain / "good.npz.manifest.json").read_text()


def test_all_steps_from_the_first_source(chain, tiny_model):
    source = str(chain / "clean.npz")
    comparison = remake(chain / "good.npz.manifest.json", chain / "again.npz", source=source, models=[tiny_model])
    assert comparison.same
    assert remake(chain / "bad.npz.manifest.json", chain / "bad2.npz").same


def test_a_difference_is_counted(chain, tiny_model):
    path = chain / "good.npz.manifest.json"
    manifest = json.loads(path.read_text())
    manifest["steps"][-1]["seed"] = 3
    manifest["steps"][-1]["versions"]["torch"] = "1.0"
    path.write_text(json.dumps(manifest))
    comparison = remake(path, chain / "again.npz", models=[tiny_model])
    assert not comparison.same
    assert comparison.pixels > 0
    assert "torch 1.0 ->" in comparison.describe()


def test_errors_name_what_is_wrong(chain, make_set, tiny_model):
    manifest = chain / "good.npz.manifest.json"
    with pytest.raises(ModelError, match=r"tiny.safetensors \(sha256 .*--model"):
        remake(manifest, chain / "again.npz")
    write(make_set(12, seed=9), chain / "other.npz")
    with pytest.raises(RunError, match="does not occur in the history"):
        remake(manifest, chain / "again.npz", source=str(chain / "other.npz"), models=[tiny_model])
    (chain / "bad.npz").unlink()
    with pytest.raises(RunError, match=r"'bad.npz' is not beside"):
        remake(manifest, chain / "again.npz", models=[tiny_model])
    assert not (chain / "again.npz").exists()
