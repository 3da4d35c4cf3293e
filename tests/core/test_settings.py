from __future__ import annotations

import pytest
from pydantic import Field, ValidationError

from unpoison.core.errors import SettingsError
from unpoison.core.settings import Bound, Settings, bound_value, build_settings, parse_assignments


class Example(Settings):
    steps: int = Field(4, ge=1)
    epsilon: Bound = "8/255"


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
        ({"step": 3}, "Example has no setting 'step'; it has steps, epsilon"),
        ({"steps": 0}, "steps=0"),
        ({"steps": "many"}, "steps='many'"),
        ({"epsilon": "1/0"}, "write it as a fraction like 8/255"),
        ({"epsilon": "-1/255"}, "must not be negative"),
    ],
)
def test_wrong_settings(overrides, message):
    with pytest.raises(SettingsError) as caught:
        build_settings(Example, overrides=overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_profiles(tmp_path):
    (tmp_path / "bad.toml").write_text("steps = = 3")
    for profile, message in (
        ("none", "there is no profile 'none'"),
        (str(tmp_path / "none.toml"), "cannot be read"),
        (str(tmp_path / "bad.toml"), "not valid TOML"),
    ):
        with pytest.raises(SettingsError, match=message):
            build_settings(Example, profiles=[profile])


def test_assignments():
    parsed = parse_assignments(["steps=4", "epsilon=12/255", "flag=true", "sizes=[1, 2]", " name = x=y"])
    assert parsed == {"steps": 4, "epsilon": "12/255", "flag": True, "sizes": [1, 2], "name": " x=y"}
    with pytest.raises(SettingsError, match="key=value"):
        parse_assignments(["steps"])
