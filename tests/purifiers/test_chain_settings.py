"""Settings of chains: whose field is meant, and what profiles set."""

from __future__ import annotations

import pytest
import torch

from unpoison.core.errors import SettingsError
from unpoison.purifiers.methods import DEFAULT
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.run import PurifyRun


def test_a_field_that_one_purifier_has_needs_no_name():
    found = purifier_settings(DEFAULT, overrides={"sigma": "12/255", "threshold": "20/255"})
    assert found == purifier_settings(DEFAULT, overrides={"fast.sigma": "12/255", "despeckle.threshold": "20/255"})
    assert (found["fast"].sigma, found["despeckle"].threshold) == ("12/255", "20/255")


def test_a_field_of_several_or_of_none_is_refused():
    with pytest.raises(SettingsError, match=r"has mean-filter\.size and median-filter\.size; write which"):
        purifier_settings("mean-filter+median-filter", overrides={"size": 5})
    with pytest.raises(SettingsError, match=r"has no setting 'qality'; did you mean 'jpeg\.quality"):
        purifier_settings("jpeg+grayscale", overrides={"qality": 5})


def test_a_profile_sets_every_purifier_that_it_has_a_section_for():
    found = purifier_settings(DEFAULT, profiles=["strong"], overrides={"fast.steps": 3})
    alone = purifier_settings("fast", profiles=["strong"], overrides={"steps": 3})
    assert found == {**purifier_settings("despeckle+trim+cepstral-noise"), **alone}
    both = purifier_settings("fast+puregen-ebm", profiles=["strong"])
    assert both == {
        **purifier_settings("fast", profiles=["strong"]),
        **purifier_settings("puregen-ebm", profiles=["strong"]),
    }
    with pytest.raises(SettingsError, match="fast has no profile 'stong'; did you mean 'strong'"):
        purifier_settings(DEFAULT, profiles=["stong"])
    with pytest.raises(SettingsError, match="despeckle has no profile 'strong'; it has none of its own"):
        purifier_settings("despeckle+jpeg", profiles=["strong"])


def test_an_own_profile_holds_fields_as_they_are_given(tmp_path):
    own = tmp_path / "mine.toml"
    own.write_text('sigma = "12/255"\n"despeckle.threshold" = "20/255"\n')
    expected = purifier_settings(DEFAULT, overrides={"fast.sigma": "12/255", "despeckle.threshold": "20/255"})
    assert purifier_settings(DEFAULT, profiles=[str(own)]) == expected


def test_the_default_is_as_exact_as_its_network():
    cpu = torch.device("cpu")
    assert PurifyRun(purifier_settings(DEFAULT, overrides={"precision": "int8"})).resolved(cpu).precision == "int8"
    assert PurifyRun(purifier_settings(DEFAULT, overrides={"precision": "fp32"})).resolved(cpu).precision == "fp32"
    assert PurifyRun(purifier_settings("gaussian-blur+fast", overrides={"precision": "int8"})).precision == "fp32"
