from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field, ValidationError

from unpoison.core.errors import SettingsError
from unpoison.core.settings import Bound, Length, Settings, bound_value, build_settings, parse_assignments, read_profile
from unpoison.core.validation import explain
from unpoison.fitting.settings import EnergySettings


class Example(Settings):
    steps: int = Field(4, ge=1)
    epsilon: Bound = "8/255"
    kind: Literal["blue", "red"] = "red"
    reach: Length = "1"


def test_later_profiles_and_overrides_win(tmp_path):
    (tmp_path / "a.toml").write_text("steps = 5\nepsilon = '4/255'\n")
    (tmp_path / "b.toml").write_text("steps = 6\n")
    profiles = [str(tmp_path / "a.toml"), str(tmp_path / "b.toml")]
    assert build_settings(Example) == Example()
    assert build_settings(Example, profiles=profiles) == Example(steps=6, epsilon="4/255")
    assert build_settings(Example, profiles=profiles, overrides={"steps": 7}).steps == 7


def test_settings_survive_json_and_are_frozen():
    settings = Example(epsilon=0.5)
    assert settings.epsilon == "0.5"
    assert Example.model_validate_json(settings.model_dump_json()) == settings
    with pytest.raises(ValidationError):
        settings.steps = 2


def test_bounds():
    assert bound_value("8/255") == 8 / 255
    assert Example(epsilon="8 / 255").epsilon == "8/255"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"step": 3}, "slow has no setting 'step'; did you mean 'steps'? Choose from steps, epsilon, kind, reach"),
        ({"steps": 0}, "slow: steps=0 must be at least 1"),
        ({"steps": "many"}, "slow: steps=many must be a whole number"),
        ({"steps": 1.5}, "slow: steps=1.5 must be a whole number"),
        ({"kind": "bule"}, "slow: kind=bule must be 'blue' or 'red'"),
        ({"epsilon": "1/0"}, "slow: epsilon=1/0 is no length: write a fraction like 8/255 or 0.4/255, or a number"),
        ({"epsilon": "1e999999999"}, "is no length"),
        ({"epsilon": "nan"}, "is no length"),
        ({"epsilon": "-1/255"}, "must not be negative"),
        ({"epsilon": 25}, "slow: epsilon=25 is more than 1, the whole range of a pixel: did you mean 25/255?"),
        ({"epsilon": "300/255"}, "epsilon=300/255 is more than 1, the whole range of a pixel"),
    ],
)
def test_wrong_settings(overrides, message):
    with pytest.raises(SettingsError) as caught:
        build_settings(Example, overrides=overrides, of="slow")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lengths_of_whole_pictures_may_be_above_1():
    assert build_settings(Example, overrides={"reach": 3}).reach == "3"


def test_wrong_profiles(tmp_path):
    (tmp_path / "bad.toml").write_text("steps = = 3")
    for profile, message in (
        ("none", "slow has no profile 'none'; it has none of its own"),
        (str(tmp_path / "none.toml"), "cannot be read"),
        (str(tmp_path / "bad.toml"), "not valid TOML"),
    ):
        with pytest.raises(SettingsError, match=message):
            build_settings(Example, profiles=[profile], of="slow")


def test_only_profiles_of_the_method_are_suggested():
    with pytest.raises(SettingsError) as caught:
        read_profile("stong", "unpoison.purifiers", section="fast")
    assert str(caught.value) == (
        "fast has no profile 'stong'; did you mean 'strong'? "
        "Choose from light, normal, one-shot, strong, or name a .toml file"
    )
    with pytest.raises(SettingsError, match="fit ebm has no profile 'pocket'; choose from digits-ebm, ebm, ebm-small"):
        build_settings(EnergySettings, profiles=["pocket"], room="unpoison.fitting", of="fit ebm")


class Inner(Settings):
    depth: int = 1


class Outer(Settings):
    parts: dict[str, Inner] = Field(default={})


def test_a_wrong_field_within_others_is_named_with_its_place():
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"parts": {"first": {"dept": 2}}})
    assert explain(caught.value, Outer, of="x.toml") == (
        "x.toml, parts.first, has no setting 'dept'; did you mean 'depth'? Choose from depth"
    )


def test_assignments():
    parsed = parse_assignments(["steps=4", "epsilon=12/255", "flag=true", "sizes=[1, 2]", " name = x=y"])
    assert parsed == {"steps": 4, "epsilon": "12/255", "flag": True, "sizes": [1, 2], "name": " x=y"}
    with pytest.raises(SettingsError, match="key=value"):
        parse_assignments(["steps"])
