"""Each method has its demo: the same comparison, and pictures of what the method does."""

from __future__ import annotations

from contextlib import nullcontext
from importlib import resources

import numpy as np
import pytest
from click.testing import CliRunner

from unpoison.bench.arithmetic import Arithmetic
from unpoison.bench.cache import Cache
from unpoison.bench.suite import read_suite
from unpoison.bench.workshop import Workshop
from unpoison.cli.demo import demo
from unpoison.core.errors import SettingsError
from unpoison.demo.methods import METHODS, check_names
from unpoison.demo.pictures import draw_pictures

# So small that nothing is learned: what a demo makes of it still has its shape.
_TINY = {
    "diffusion": {"iterations": 2, "warmup": 0, "plots": False, "arguments": {"channels": 8, "blocks": [1, 1, 1]}},
    "energy": {"iterations": 2, "warmup": 0, "plots": False, "arguments": {"width": 4}, "langevin_steps": 1},
}
_FEWER = {"fast": {}, "puregen-ddpm": {"steps": 1}, "puregen-ebm": {"steps": 10}}


def _suite(method):
    with resources.as_file(resources.files("unpoison.demo") / METHODS[method].suite) as path:
        return read_suite(path)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "fast"])
def test_demos_compare_the_same(method):
    default, suite = _suite("fast"), _suite(method)
    assert suite.defences["purified"].purify == method
    assert suite.name == f"digits-{method}"
    defences = {**suite.defences, "purified": default.defences["purified"]}
    same = {"name": default.name, "title": default.title, "models": default.models, "defences": defences}
    assert suite.model_copy(update=same) == default


@pytest.mark.parametrize("method", METHODS)
def test_pictures_show_the_way(method, tmp_path):
    suite = _suite(method)
    models = {name: fit.model_copy(update={"set": _TINY[fit.kind]}) for name, fit in suite.models.items()}
    defence = suite.defences["purified"]
    fewer = defence.model_copy(update={"set": {**defence.set, **_FEWER[method]}})
    sets = {**suite.sets, "train": "digits#train[:60]"}
    update = {"sets": sets, "models": models, "defences": {**suite.defences, "purified": fewer}}
    about = {"device": "cpu", "arithmetic": Arithmetic("cpu")}
    workshop = Workshop(Cache(tmp_path), bar=lambda label, unit: nullcontext(), **about)
    strips = draw_pictures(suite.model_copy(update=update), workshop)
    assert [strip.image.shape for strip in strips] == [(64, 4 * (10 * 16 + 9), 3)] * 6
    poisoned, way, purified = (strips[number].image.astype(float) for number in (1, 3, 4))
    assert np.abs(way - poisoned).mean() > 0.5
    if method == "puregen-ebm":
        assert strips[3].caption == "After 1 of 10 steps"
        assert np.abs(way - poisoned).mean() < np.abs(purified - poisoned).mean()
    else:
        sigma = {"fast": 128, "puregen-ddpm": 67}[method]
        assert strips[3].caption == f"With the noise that purification adds, sigma {sigma}/255"


@pytest.mark.parametrize("method", METHODS)
def test_a_missing_row_or_column_is_named(method):
    suite = _suite(method)
    check_names(suite.name, suite.attacks, suite.defences)
    for section, name in (("attacks", "lsp"), ("defences", "jpeg-10")):
        tables = {"attacks": dict(suite.attacks), "defences": dict(suite.defences)}
        del tables[section][name]
        with pytest.raises(SettingsError, match=rf"\[{section}\] lacks '{name}'"):
            check_names(suite.name, **tables)


def test_unknown_method():
    answer = CliRunner().invoke(demo, ["--method", "puregen"])
    assert answer.exit_code == 2
    assert "puregen-ebm" in answer.output
