"""Somebody who follows CONTRIBUTING alone: its blocks are run as they stand, in an empty folder."""

from __future__ import annotations

import re
import shlex
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

import unpoison
from unpoison.core import methods
from unpoison.core.errors import RunError, SettingsError
from unpoison.poisons.contract import check_attack
from unpoison.runs.contract import check_purifier

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
BLUR, STRIPES = "examples.median_blur:MedianBlur", "examples.stripes:Stripes"


def blocks(chapter: str, language: str) -> list[str]:
    (text,) = (part for part in re.split(r"^## ", TEXT, flags=re.MULTILINE) if part.startswith(chapter))
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture
def followed(tmp_path, monkeypatch, make_set):
    """A folder with the two files that CONTRIBUTING shows, and some pictures."""
    for chapter, name in (("Add a purifier", "median_blur"), ("Add an attack", "stripes")):
        code = blocks(chapter, "python")[0]
        assert code == (ROOT / "examples" / f"{name}.py").read_text(), "the page shows the file"
        (tmp_path / "examples").mkdir(exist_ok=True)
        (tmp_path / "examples" / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "examples"]:
        monkeypatch.delitem(sys.modules, name)
    unpoison.write(make_set(12), tmp_path / "photos")
    return tmp_path


@pytest.mark.parametrize("chapter", ["Add a purifier", "Add an attack"])
def test_the_page_alone_is_enough(followed, run, chapter):
    for line in blocks(chapter, "sh")[0].splitlines():
        code, _, error = run(*shlex.split(line.removeprefix("PYTHONPATH=. unpoison ")))
        assert code == 0, error
    exec(blocks(chapter, "python")[1], {})  # noqa: S102  it is our own page


def test_every_way_to_name_a_purifier_gives_the_same(followed, make_set):
    from examples.median_blur import MedianBlur

    pictures = make_set(12).array()
    named = unpoison.purify(pictures, BLUR, size=5)
    assert not np.array_equal(named, pictures)
    assert np.array_equal(unpoison.purify(pictures, MedianBlur, size=5), named)
    made = MedianBlur(MedianBlur.Settings(size=5), device="cpu")
    assert np.array_equal(unpoison.purify(pictures, made), named)
    with pytest.raises(SettingsError, match="is given as an object, which has its settings"):
        unpoison.purify(pictures, made, size=3)
    chained = unpoison.purify(pictures, f"{BLUR}+jpeg", **{f"{BLUR}.size": 5, "jpeg.quality": 50})
    assert np.array_equal(chained, unpoison.purify(named, "jpeg", quality=50))


def test_every_way_to_name_an_attack_gives_the_same(followed, make_set):
    from examples.stripes import Stripes

    named = unpoison.poison(make_set(12), STRIPES).image_set.array()
    for given in (Stripes, Stripes()):
        assert np.array_equal(unpoison.poison(make_set(12), given).image_set.array(), named)


def test_packages_offer_methods_by_name(followed, make_set, monkeypatch):
    offered = {"unpoison.purifiers": ("median-blur", BLUR), "unpoison.attacks": ("stripes", STRIPES)}
    monkeypatch.setattr(methods, "entry_points", lambda group: [EntryPoint(*offered[group], group)])
    image_set = make_set(12)
    assert np.array_equal(unpoison.purify(image_set.array(), "median-blur"), unpoison.purify(image_set.array(), BLUR))
    assert unpoison.poison(image_set, "stripes").step.method == "stripes"
    assert methods.method_names({"jpeg": ""}, kind="purifier") == ["jpeg", "median-blur"]
    with pytest.raises(SettingsError, match="did you mean 'median-blur'"):
        unpoison.purify(image_set.array(), "medianblur")


def test_code_that_a_file_names_is_imported_only_if_it_is_trusted(followed, run):
    assert run("purify", "photos", "pure", "--method", BLUR)[0] == 0
    code, _, error = run("rerun", "pure", "--out", "again", "--source", "photos")
    assert code == 2
    assert f"if you know it, name it in the command: --trust {BLUR}" in error
    assert not Path("again").exists()


def test_a_profile_may_not_name_it_for_the_user(followed, run):
    (followed / "mine.toml").write_text(f'through = "{BLUR}"\n')
    asked = ("poison", "photos", "bad", "--attack", "adp", "--profile", "mine.toml", "--dry-run")
    code, _, error = run(*asked)
    assert code == 2
    assert f"the purifier '{BLUR}' is code from elsewhere" in error
    assert run(*asked, "--set", f"through={BLUR}")[0] == 0


def test_a_suite_may_name_it_if_it_is_trusted(followed, run):
    (followed / "suite.toml").write_text(
        f"""
name = "mine"
[sets]
train = "nowhere.npz"
test = "nowhere.npz"
[attacks.none]
[defences.none]
[defences.blur]
purify = "{BLUR}"
"""
    )
    at = ("bench", "suite.toml", "--out", "results")
    assert f"[defences.blur]: the purifier '{BLUR}' is code from elsewhere" in run(*at)[2]
    assert "nowhere.npz" in run(*at, "--trust", BLUR)[2]


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("nowhere.at_all:Blur", "there is no module 'nowhere'; install it, or name its folder in PYTHONPATH"),
        ("examples.median_blur:Blur", "module examples.median_blur has no Blur"),
        ("examples.median_blur:", "module examples.median_blur has no empty name"),
        ("examples.median_blur:MedianSettings", "is no purifier: it has no Settings and no purify"),
        ("examples.broken:Blur", "module examples.broken cannot be imported: ZeroDivisionError"),
    ],
)
def test_what_cannot_be_imported_is_said(followed, make_set, named, message):
    (followed / "examples" / "broken.py").write_text("1 / 0\n")
    with pytest.raises(SettingsError) as caught:
        unpoison.purify(make_set(3).array(), named)
    assert message in str(caught.value)


def test_the_contract_sees_seams_neighbours_and_seeds(followed):
    from examples.median_blur import MedianBlur

    class Narrow(MedianBlur):
        def __init__(self, settings, *, device):
            super().__init__(settings, device=device)
            self.halo = 0

    class Crowd(MedianBlur):
        def purify(self, images, *, noise):
            return (images + images.mean(dim=0)) / 2

    class Restless(MedianBlur):
        calls = 0

        def purify(self, images, *, noise):
            type(self).calls += 1
            return images.roll(self.calls, dims=-1)

    for broken, rule in (
        (Narrow, "with halo 0, [0-9]+ values differ"),
        (Crowd, "an image does not depend on its neighbours"),
        (Restless, "the same seed gives the same bytes"),
    ):
        with pytest.raises(RunError, match=rule):
            check_purifier(broken)


def test_the_smallest_purifier_inherits_nothing(followed):
    from examples.median_blur import MedianSettings

    class Smallest:
        Settings = MedianSettings

        def purify(self, images, *, noise):
            return images / 2

    check_purifier(Smallest)


def test_the_contract_of_attacks(followed):
    from examples.stripes import Stripes

    class Floats(Stripes):
        def craft(self, *given, **more):
            poisoned = super().craft(*given, **more)
            return type(poisoned)(poisoned.images / 255, poisoned.ids, poisoned.kind)

    class Quiet(Stripes):
        kind = "triggered"

    with pytest.raises(RunError, match=r"they must be uint8 \[N, H, W, 3\]"):
        check_attack(Floats)
    with pytest.raises(RunError, match="it declares the kind that it gives, availability"):
        check_attack(Quiet)
