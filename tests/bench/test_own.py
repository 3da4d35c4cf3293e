"""A researcher's own methods and sets in a suite, as Python objects."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from unpoison.bench import Attack, ClassifierFit, Defence, Suite, Training, read_suite, run_suite
from unpoison.core.errors import RunError, SettingsError
from unpoison.core.settings import Settings
from unpoison.poisons.protocol import PoisonedSet
from unpoison.reporting.grid import read_grid

TRAIN = {"epochs": 1, "width": 4, "batch_size": 8}


class Darken:
    """A class of a purifier, made from its settings as those of unpoison are."""

    class Settings(Settings):
        share: float = 0.5

    def __init__(self, settings, *, device):
        self.settings = settings

    def purify(self, images, *, noise):
        return self.settings.share * images


class Blur:
    """A purifier as people have it: an object, with a network in it and no settings."""

    def __init__(self, size):
        self.weights = torch.ones(size)  # not the hashes of files that unpoison's purifiers have under this name
        self.net = nn.AvgPool2d(size, stride=1, padding=size // 2)

    def purify(self, images, *, noise, on_step=None):
        return self.net(images)


class Ranking(Blur):
    def prepare(self, image_set, *, generator):
        return self


class Strange(Blur):
    Settings = dict


class Invert:
    class Settings(Settings):
        rows: int = 4

    def craft(self, image_set, settings, *, generator, resources):
        images = image_set.array().copy()
        images[:, : settings.rows] = 255 - images[:, : settings.rows]
        return PoisonedSet(images, image_set.ids, "availability")


def tiny(classes, width):
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, classes))


ELSEWHERE = """
from unpoison.core.settings import Settings

class DarkenSettings(Settings):
    share: float = 0.5

class Darken:
    Settings, weights, strength_255, halo = DarkenSettings, {}, None, 0

    def __init__(self, settings, *, device):
        self.settings = settings

    def purify(self, images, *, noise, on_step=None, should_stop=None):
        return self.settings.share * images
"""


def suite(make_set, **changed):
    about = {
        "name": "mine",
        "sets": {"train": make_set(24), "test": make_set(24, seed=1)},
        "attacks": {"none": Attack(), "invert": Attack(attack="invert", set={"rows": 2})},
        "defences": {
            "none": Defence(),
            "darken": Defence(purify="darken", set={"share": 0.25}),
            "blur": Defence(purify="blur+jpeg"),
        },
        "train": Training(model="tiny", set=TRAIN),
    }
    return Suite(**{**about, **changed})


OWN = {"purifiers": {"darken": Darken, "blur": Blur(3)}, "attacks": {"invert": Invert()}, "classifiers": {"tiny": tiny}}


def test_a_grid_without_a_file(make_set, tmp_path):
    records = run_suite(suite(make_set), tmp_path, **OWN)
    cells = {(record.settings["attack"], record.settings["defence"]): record for record in records}
    assert len(cells) == 6
    darkened = cells["invert", "darken"]
    assert darkened.settings["poison"]["rows"] == 2
    assert darkened.settings["purify"]["darken"] == {"share": 0.25}
    assert darkened.settings["purify"]["own methods"]["darken"]["class"] == f"{__name__}.Darken"
    assert darkened.details["own"] == {
        "darken": f"{__name__}.Darken",
        "invert": f"{__name__}.Invert",
        "tiny": f"{__name__}.tiny",
    }
    assert darkened.details["remakeable_from_record"] is False
    assert darkened.inputs["purified"] != cells["invert", "none"].inputs["purified"]
    assert cells["none", "blur"].inputs["purified"] != cells["none", "none"].inputs["purified"]
    again = run_suite(suite(make_set), tmp_path, **OWN)
    assert again == records, "their records are found"
    grid = read_grid(tmp_path / "mine")
    assert set(grid.cells) == set(cells)
    with pytest.raises(SettingsError, match=r"\[sets\] train was given in Python: array; run the suite there"):
        run_suite(tmp_path / "mine" / "suite.toml", tmp_path, **OWN)


def test_the_example_in_the_docs_runs(make_set, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    docs = Path(__file__).parents[2] / "docs" / "suites.md"
    about = {"train": make_set(24), "test": make_set(24), "OurPurifier": Blur, "network": 3, "build_net": tiny}
    exec(re.search("```python\n(.*?)```", docs.read_text(), re.DOTALL)[1], about)  # noqa: S102
    assert len(about["records"]) == 6
    assert (tmp_path / "results" / "mine" / "suite.toml").exists()


def test_methods_of_ones_own_in_a_file_beside_those_of_unpoison(make_set, tmp_path):
    (tmp_path / "suite.toml").write_text(suite(make_set, sets={"train": "a.npz", "test": "a.npz"}).text())
    read = read_suite(tmp_path / "suite.toml")
    assert read.defences["blur"].purify == "blur+jpeg"
    with pytest.raises(SettingsError, match="there is no attack 'invert'"):
        run_suite(tmp_path / "suite.toml", tmp_path)


def test_another_class_or_other_code_under_a_name_is_another_trial(make_set, tmp_path, monkeypatch):
    grid = suite(make_set, attacks={"none": Attack()}, train=Training(set=TRAIN))
    first = run_suite(grid, tmp_path, purifiers=OWN["purifiers"])
    lighter = type("Lighter", (Darken,), {})
    second = run_suite(grid, tmp_path, purifiers={**OWN["purifiers"], "darken": lighter})
    changed = [one.settings["defence"] for one, other in zip(first, second, strict=True) if one.id != other.id]
    assert changed == ["darken"]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"purifiers": {"darken": object()}}, "'darken' is given as builtins.object, which has no purify()"),
        ({"purifiers": {"jpeg": Darken}}, "the name 'jpeg' is unpoison's own; give your purifier another one"),
        ({"purifiers": {"a+b": Darken}}, "'a+b' is no name for a purifier"),
        ({"purifiers": {"darken": Ranking}}, "'darken' has prepare() and no restore()"),
        ({"attacks": {"invert": Darken}}, "which has no craft()"),
        ({"purifiers": {"darken": Strange}}, "Strange do not derive from unpoison.core.settings.Settings"),
        (
            {"purifiers": {**OWN["purifiers"], "darken": Blur(3)}},
            "'darken' is given as an object, which has its settings",
        ),
    ],
)
def test_what_is_no_method_is_refused(make_set, tmp_path, own, message):
    with pytest.raises(SettingsError) as caught:
        run_suite(suite(make_set), tmp_path, **{**OWN, **own})
    assert message in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_purifier_that_changes_the_shape_is_named(make_set, tmp_path):
    with pytest.raises(RunError, match=r"purifier 'blur' made \[\d+, 3, 17, 17\] of images \[\d+, 3, 16, 16\]"):
        run_suite(suite(make_set), tmp_path, **{**OWN, "purifiers": {"darken": Darken, "blur": Blur(2)}})


class Descend:
    """One step down an energy."""

    def purify(self, images, *, noise):
        with torch.enable_grad():
            x = images.requires_grad_()
            (gradient,) = torch.autograd.grad((x**2).sum(), x)
        return x - 0.1 * gradient


def test_a_purifier_may_take_gradients(make_set, tmp_path):
    defences = {"none": Defence(), "descend": Defence(purify="descend")}
    grid = suite(make_set, attacks={"none": Attack()}, defences=defences, train=Training(set=TRAIN))
    records = run_suite(grid, tmp_path, purifiers={"descend": Descend()})
    assert records[0].inputs["purified"] != records[1].inputs["purified"]


def test_surrogates_of_ones_own_are_named(make_set, tmp_path):
    fields = {"poisons": 2, "iterations": 1, "restarts": 1}
    attack = Attack(attack="gradient-matching", surrogates=["body"], target_set="test", set=fields)
    grid = suite(
        make_set,
        attacks={"none": Attack(), "matching": attack},
        defences={"none": Defence()},
        classifiers={"body": ClassifierFit(fit="train", model="tiny", set=TRAIN)},
        train=Training(set=TRAIN),
    )
    control, attacked = run_suite(grid, tmp_path, classifiers={"tiny": tiny})
    assert "own" not in control.details
    assert attacked.details["own"] == {"tiny": f"{__name__}.tiny"}
    bullseye = Attack(attack="bullseye", surrogates=["body"], target_set="test", set={"poisons": 2, "iterations": 1})
    grid = grid.model_copy(update={"attacks": {"none": Attack(), "bullseye": bullseye}})
    with pytest.raises(SettingsError, match="bullseye looks at the block before the last, and tiny is not built of"):
        run_suite(grid, tmp_path, classifiers={"tiny": tiny})


def test_a_class_that_can_be_imported_needs_only_its_name(make_set, tmp_path, monkeypatch):
    (tmp_path / "darkening.py").write_text(ELSEWHERE)
    monkeypatch.syspath_prepend(str(tmp_path))
    defences = {"none": Defence(), "dark": Defence(purify="darkening:Darken", set={"share": 0.25})}
    grid = suite(make_set, attacks={"none": Attack()}, defences=defences, train=Training(set=TRAIN))
    record = run_suite(grid, tmp_path)[1]
    assert record.settings["purify"]["darkening:Darken"] == {"share": 0.25}
    assert record.details["own"] == {"darkening:Darken": "darkening.Darken"}
    assert "remakeable_from_record" not in record.details


def test_the_settings_of_an_object_are_recorded(make_set, tmp_path):
    mine = Darken(Darken.Settings(share=0.75), device="cpu")
    grid = suite(
        make_set,
        attacks={"none": Attack()},
        defences={"none": Defence(), "darken": Defence(purify="darken")},
        train=Training(set=TRAIN),
    )
    records = run_suite(grid, tmp_path, purifiers={"darken": mine})
    assert records[1].settings["purify"]["darken"] == {"share": 0.75}


def test_nothing_stays_behind(make_set, tmp_path):
    run_suite(suite(make_set, attacks={"none": Attack()}), tmp_path, **OWN)
    with pytest.raises(SettingsError, match="no purifier 'darken'"):
        run_suite(suite(make_set, name="other"), tmp_path, attacks=OWN["attacks"], classifiers=OWN["classifiers"])


def test_names_need_no_torch():
    code = "import sys, unpoison.bench, unpoison.bench.shipped; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


class Named(Blur):
    def __init__(self, size):
        super().__init__(size)
        self.name = f"blur {size}"


def test_objects_stand_where_names_do(make_set, tmp_path):
    net = tiny(3, 4)
    grid = Suite(
        name="mine",
        sets={"train": make_set(24), "test": make_set(24, seed=1)},
        attacks={"none": Attack(), "invert": Attack(attack=Invert())},
        defences={
            "none": Defence(),
            "blur 3": Defence(purify=Named(3)),
            "blur 5": Defence(purify=Named(5)),
            "network": Defence(purify=nn.Sequential(nn.Conv2d(3, 3, 1))),
        },
        train=Training(model=net, set=TRAIN),
    )
    records = run_suite(grid, tmp_path)
    cells = {(record.settings["attack"], record.settings["defence"]): record for record in records}
    assert len({record.inputs["purified"] for record in records}) == 8
    settings = cells["invert", "blur 3"].settings
    assert settings["poison"]["attack"] == "own-Invert"
    assert settings["purify"]["method"] == "own-blur-3"
    assert settings["train"]["model"] == "own-Sequential"
    assert len(settings["train"]["own methods"]["own-Sequential"]["weights"]) == 64
    assert cells["none", "network"].details["remakeable_from_record"] is False
    assert [record.id for record in run_suite(grid, tmp_path)] == [record.id for record in records]
    with torch.no_grad():
        net[2].bias += 1
    assert records[0].id not in {record.id for record in run_suite(grid, tmp_path)}, "other weights are another trial"


def test_two_objects_of_one_name_are_refused(make_set, tmp_path):
    defences = {"none": Defence(), "a": Defence(purify=Blur(3)), "b": Defence(purify=Blur(5))}
    with pytest.raises(SettingsError, match="two objects named 'own-Blur'; give each an attribute `name`"):
        run_suite(suite(make_set, defences=defences), tmp_path, **OWN)
