"""The shipped profiles, and how they chain."""

from __future__ import annotations

import pytest

from unpoison.classify.settings import ScratchSettings, TrainSettings, default_profile, scratch_settings
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


def test_airbench_is_trained_by_its_own_profile():
    assert default_profile("airbench94") == "airbench"
    assert default_profile("resnet18") == default_profile("hlb-s") == "fast"


def test_fast_is_the_default():
    assert build("fast") == TrainSettings()


@pytest.mark.parametrize("first", ["fast", "eclipse"])
def test_compensation_chains(first):
    both = build(first, "compensation")
    assert (both.grayscale_probability, both.noise_sigma) == (0.4, 0.05)
    assert build(first) == both.model_copy(update={"grayscale_probability": 0.0, "noise_sigma": 0.0})


def test_every_profile_is_valid_and_survives_json():
    for name in list_profiles(ROOM):
        transfer = name in ("puregen-linear", "puregen-fine-tune", "puregen-lt-bench")
        settings = (
            build_settings(TransferSettings, profiles=[name], room=ROOM)
            if transfer
            else scratch_settings(profiles=[name])
        )
        assert read_profile(name, ROOM)
        assert type(settings).model_validate_json(settings.model_dump_json()) == settings


def test_further_settings_come_only_where_they_are_asked_for():
    plain = {
        "fast": scratch_settings(profiles=["fast"]),
        "compensated": scratch_settings(profiles=["eclipse", "compensation"]),
        "set": scratch_settings(profiles=["fast"], overrides={"epochs": 3}),
    }
    assert {type(settings) for settings in plain.values()} == {TrainSettings}
    assert plain["set"].epochs == 3
    cut = scratch_settings(profiles=["fast"], overrides={"cutout": 4})
    assert isinstance(cut, ScratchSettings)
    assert cut == ScratchSettings(cutout=4)
    with pytest.raises(
        SettingsError, match=r"has no setting 'cut'; did you mean 'cutout'\? Choose from epochs, .*, cutout"
    ):
        scratch_settings(profiles=["fast"], overrides={"cut": 4})


def test_puregens_sections_chain():
    scratch = scratch_settings(profiles=["puregen"])
    assert (scratch.epochs, scratch.learning_rate, scratch.decay_epochs, scratch.label_smoothing) == (
        200,
        0.1,
        (100, 150),
        0,
    )
    shorter = scratch_settings(profiles=["puregen", "puregen-80-epoch"])
    assert shorter == scratch.model_copy(update={"epochs": 80, "decay_epochs": (30, 50, 70)})
    body = build_settings(TransferSettings, profiles=["puregen-linear", "puregen-lt-bench"], room=ROOM)
    linear = build_settings(TransferSettings, profiles=["puregen-linear"], room=ROOM)
    assert body == linear.model_copy(update={"learning_rate": 0.01, "decay_epochs": (30,)})


@pytest.mark.parametrize(
    ("profiles", "rate", "momentum", "decay", "scaler", "batch"),
    [
        (["airbench"], 11.5, 0.85, 0.0153, 64, 1024),
        (["puregen-hlb-small"], 11.6, 0.87, 0.0157, 64.5, 128),
        (["puregen-hlb-small", "puregen-hlb-med"], 10.0, 0.85, 0.0153, 64, 128),
        (["puregen-hlb-small", "puregen-hlb-large"], 9.0, 0.85, 0.0153, 64, 128),
    ],
)
def test_rates_are_the_published_ones_per_1024_images(profiles, rate, momentum, decay, scaler, batch):
    """The published loops sum the loss, we take its mean; their rate and decay are per 1,024 images and momentum."""
    settings = scratch_settings(profiles=profiles)
    share = batch / 1024 / (1 + 1 / (1 - momentum))
    assert (settings.momentum, settings.bias_scaler, settings.batch_size) == (momentum, scaler, batch)
    assert settings.learning_rate == pytest.approx(rate * share, rel=1e-6)
    assert settings.learning_rate * settings.weight_decay == pytest.approx(decay * share, rel=1e-6)


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"batch_size": 1}, {"width": 3}, {"schedule": "cosine"}, {"flips": True}]
)
def test_wrong_values_are_refused(wrong):
    with pytest.raises(SettingsError):
        build("fast", **wrong)
