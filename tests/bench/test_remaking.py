"""A set made again from its manifest is the same set."""

from __future__ import annotations

import json

import pytest

from unpoison.bench.remaking import remake
from unpoison.classify.saving import load_classifier, save_classifier
from unpoison.classify.settings import TrainSettings
from unpoison.classify.training import train
from unpoison.core.device import choose_device, processor
from unpoison.core.errors import ModelError, RunError
from unpoison.core.hashing import hash_file
from unpoison.data import read, write
from unpoison.poisons.crafting import poison, poison_mixture, write_poisoned
from unpoison.poisons.mixture import attack_settings, read_mixture
from unpoison.poisons.protocol import Resources
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.run import PurifyRun
from unpoison.runs.to_files import purify_to


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
    manifest["steps"][-1]["processor"] = "x86_64 ABACUS"
    path.write_text(json.dumps(manifest))
    comparison = remake(path, chain / "again.npz", models=[tiny_model], device="cpu")
    assert not comparison.same
    assert comparison.pixels > 0
    assert "torch 1.0 ->" in comparison.describe()
    assert f"processor x86_64 ABACUS -> {processor(choose_device('cpu'))}" in comparison.describe()
    assert set(comparison.facts()["machine"]) == {"processor"}


def test_an_attack_that_used_a_classifier_and_a_set_is_made_again(make_set, tmp_path):
    for seed, name in enumerate(("clean", "test")):
        write(make_set(24, seed=seed), tmp_path / f"{name}.npz")
    clean, test = (read(str(tmp_path / f"{name}.npz")) for name in ("clean", "test"))
    body = train(clean, test_set=test, settings=TrainSettings(epochs=1, width=4), device="cpu")
    save_classifier(tmp_path / "body", body)
    resources = Resources(surrogates=[load_classifier(tmp_path / "body")], target_set=test, device="cpu")
    settings = attack_settings("bullseye", overrides={"poisons": 3, "iterations": 2})
    write_poisoned(poison(clean, "bullseye", settings=settings, resources=resources), clean, tmp_path / "bad.npz")
    manifest = tmp_path / "bad.npz.manifest.json"
    given = {"models": [tmp_path / "body"], "others": [str(tmp_path / "test.npz")]}
    assert remake(manifest, tmp_path / "again.npz", **given).same
    with pytest.raises(RunError, match=r"used the set 'test.npz' too; name it with --with"):
        remake(manifest, tmp_path / "more.npz", models=given["models"])
    with pytest.raises(ModelError, match=r"used a classifier .*--model"):
        remake(manifest, tmp_path / "more.npz", others=given["others"])


def test_a_mixture_is_made_again(make_set, tmp_path):
    write(make_set(12), tmp_path / "clean.npz")
    clean = read(str(tmp_path / "clean.npz"))
    parts = read_mixture("urp+lsp", overrides={"lsp.patch": 4, "urp.classes": "c0,c1"})
    write_poisoned(poison_mixture(clean, parts, seed=1), clean, tmp_path / "bad.npz")
    assert remake(tmp_path / "bad.npz.manifest.json", tmp_path / "again.npz").same


def test_an_attack_through_a_purifier_with_weights_is_made_again(make_set, tmp_path, tiny_model):
    write(make_set(12), tmp_path / "clean.npz")
    clean = read(str(tmp_path / "clean.npz"))
    small = {"surrogate": "resnet18", "width": 4, "steps": 1, "rounds": 1, "training_steps": 1}
    through = {"through": "fast", "through_settings": {"model": str(tiny_model), "sigma": "4/255"}}
    overrides = {f"adp.{key}": value for key, value in {**small, **through, "fraction": 0.5}.items()}
    parts = read_mixture("adp", overrides=overrides)
    result = poison_mixture(clean, parts, seed=1, resources=Resources(device="cpu"))
    assert result.step.settings["through_settings"]["model"] == tiny_model.name
    write_poisoned(result, clean, tmp_path / "bad.npz")
    manifest = tmp_path / "bad.npz.manifest.json"
    assert remake(manifest, tmp_path / "again.npz", models=[tiny_model], device="cpu").same
    with pytest.raises(ModelError, match=r"tiny.safetensors \(sha256 .*--model"):
        remake(manifest, tmp_path / "more.npz")


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
