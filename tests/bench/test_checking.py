"""A suite is checked whole before anything is trained, and its form is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from unpoison.bench import running
from unpoison.bench.checking import check_parts
from unpoison.bench.sections import Attack, ClassifierFit, Defence, Model, Training
from unpoison.bench.shipped import list_suites, suite_path
from unpoison.bench.suite import Suite, read_suite
from unpoison.core.errors import SettingsError
from unpoison.data import write

DOCS = (Path(__file__).parents[2] / "docs" / "suites.md").read_text()

GOOD = """
name = "small"
[sets]
train = "train.npz"
test = "test.npz"
[attacks.none]
[attacks.bad]
attack = "urp"
[defences.none]
[defences.last]
purify = "jpeg"
[train]
set = { epochs = 1, width = 4, batch_size = 8 }
"""


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ('attack = "urp"', 'attack = "upr"', "[attacks.bad]: there is no attack 'upr'; did you mean 'urp'"),
        ('attack = "urp"', 'attack = "urp"\nset = { epsilon = 8 }', "[attacks.bad]: urp: epsilon=8 is more than 1"),
        ('attack = "urp"', 'attack = "urp"\nclasses = ["cc1"]', "there is no class 'cc1'; did you mean 'c1'"),
        ('purify = "jpeg"', 'purify = "jpge"', "[defences.last]: there is no purifier 'jpge'; did you mean 'jpeg'"),
        ('purify = "jpeg"', 'purify = "jpeg"\nset = { qualty = 3 }', "did you mean 'quality'"),
        ('purify = "jpeg"', 'purify = "eclipse"', "[defences.last]: eclipse needs a model: set model to one"),
        ('purify = "jpeg"', 'purify = "fast"\nset = { model = "none.pth" }', "there is no model 'none.pth'"),
        ('purify = "jpeg"', 'train_profile = ["compensate"]', "did you mean 'compensation'"),
        ('purify = "jpeg"', 'purify = "d-vae"\ndraws = "fresh"', "[defences.last]: 'd-vae' looks at the whole set"),
        ('purify = "jpeg"', 'train = "mixup"\ndraws = 5', "draws are those of a purifier: name one with purify"),
        ('purify = "jpeg"', 'purify = "jpeg"\ndraws = 0', 'is neither "fresh" nor a whole number from 1'),
        ("epochs = 1", "epochs = 0", "[train]: train: epochs=0 must be at least 1"),
        ("[train]", '[train]\nmodel = "resnet19"', "did you mean 'resnet18'"),
        ('name = "small"', 'name = "small"\n[models.m]\nfit = "train"\nprofile = ["ebm"]', "[models.m]: the diffusion"),
        ("[defences.last]", "[defences.last]\nmodell = 3", "defences.last, has no setting 'modell'"),
    ],
)
def test_a_typing_error_is_found_before_the_first_training(tmp_path, make_set, monkeypatch, right, wrong, message):
    for name in ("train", "test"):
        write(make_set(12), tmp_path / f"{name}.npz")
    # Fields come before tables in TOML: what was put after the name goes to the end.
    text = GOOD.replace(right, wrong, 1)
    head, tables, rest = text.partition("[models.m]")
    if tables:
        rest, _, others = rest.partition("[sets]")
        text = f"{head}[sets]{others}{tables}{rest}"
    (tmp_path / "suite.toml").write_text(text)
    monkeypatch.setattr(running, "Trials", None)  # nothing is begun
    with pytest.raises(SettingsError) as caught:
        running.run_suite(tmp_path / "suite.toml", tmp_path / "out", root=tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_suites_of_the_package_are_whole_and_documented():
    suites = list_suites()
    assert {"poisons", "puregen", "cifar10-eclipse"} <= set(suites)
    for name, path in suites.items():
        assert read_suite(path).name == name
        check_parts(read_suite(path))
        assert f"`{name}`" in DOCS
    assert suite_path("poisons") == suites["poisons"]
    with pytest.raises(SettingsError, match="there is no suite 'poison'; did you mean 'poisons'"):
        suite_path("poison")


@pytest.mark.parametrize("model", [Suite, Attack, Defence, Model, ClassifierFit, Training])
def test_every_field_is_documented(model):
    tables = {"sets", "models", "classifiers", "attacks", "defences", "train"}
    for field in model.model_fields:
        assert f"`{field}" in DOCS or field in tables, field


def test_the_example_is_a_suite(tmp_path):
    (tmp_path / "mine.toml").write_text(re.search("```toml\n(.*?)```", DOCS, re.DOTALL)[1])
    check_parts(read_suite(tmp_path / "mine.toml"))
