"""The shipped profiles, and how they chain."""

from __future__ import annotations

import pytest

from unpoison.classify.settings import TrainSettings
from unpoison.classify.transfer import TransferSettings
from unpoison.core.errors import SettingsError
from unpoison.core.settings import build_settings, list_profiles, read_profile

ROOM = "unpoison.classify"


def build(*profiles: str, **overrides) -> TrainSettings:
    return build_settings(TrainSettings, profiles=profiles, room=ROOM, overrides=overrides)


def test_eclipse_is_the_papers():
    assert build("eclipse").model_dump() == {
        "epochs": 80,
        "batch_size": 128,
        "learning_rate": 0.1,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 0.0,
        "schedule": "constant",
        "label_smoothing": 0.0,
        "precision": "fp32",
        "normalise": False,
        "crop_padding": 4,
        "flip": True,
        "grayscale_probability": 0.0,
        "noise_sigma": 0.0,
        "test_every": 5,
        "width": 64,
    }


def test_fast_is_the_default():
    assert build("fast") == TrainSettings()


@pytest.mark.parametrize("first", ["fast", "eclipse"])
def test_compensation_chains(first):
    both = build(first, "compensation")
    assert (both.grayscale_probability, both.noise_sigma) == (0.4, 0.05)
    assert build(first) == both.model_copy(update={"grayscale_probability": 0.0, "noise_sigma": 0.0})


def test_every_profile_is_valid_and_survives_json():
    for name in list_profiles(ROOM):
        model = TransferSettings if name.startswith("puregen") else TrainSettings
        settings = build_settings(model, profiles=[name], room=ROOM)
        assert read_profile(name, ROOM)
        assert model.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"batch_size": 1}, {"width": 3}, {"schedule": "cosine"}, {"flips": True}]
)
def test_wrong_values_are_refused(wrong):
    with pytest.raises(SettingsError):
        build("fast", **wrong)
