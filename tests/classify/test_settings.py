"""The shipped profiles, and how they chain."""

from __future__ import annotations

import pytest

from unpoison.classify.settings import (
    ROOM,
    TrainSettings,
    TransferSettings,
    default_profile,
    scratch_settings,
    transfer_settings,
)
from unpoison.core.errors import SettingsError
from unpoison.core.settings import list_profiles, read_profile


def build(*profiles: str, **overrides) -> TrainSettings:
    return scratch_settings(profiles=profiles, overrides=overrides)


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
        settings = transfer_settings("linear", profiles=[name]) if transfer else scratch_settings(profiles=[name])
        assert read_profile(name, ROOM)
        assert type(settings).model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize(
    ("settings", "later"),
    [
        (scratch_settings(profiles=["fast"]), set()),
        (scratch_settings(profiles=["eclipse", "compensation"], overrides={"epochs": 3}), set()),
        (scratch_settings(overrides={"schedule": "cosine"}), set()),
        (scratch_settings(overrides={"cutout": 0}), {"cutout", "optimiser", "whitening_epochs"}),
        (scratch_settings(profiles=["puregen"]), {"cutout", "optimiser", "whitening_epochs"}),
        (TrainSettings().model_copy(update={"cutout": 4}), {"cutout", "optimiser", "whitening_epochs"}),
        (TransferSettings(), {"optimiser"}),
        (TransferSettings(reflect=True), {"cutout", "optimiser"}),
    ],
)
def test_later_settings_are_written_only_where_one_is_named(settings, later):
    """So that trials from before they came keep their ids."""
    written = settings.model_dump(mode="json")
    assert {"cutout", "optimiser", "whitening_epochs"} & written.keys() == later
    assert type(settings)(**written).model_dump(mode="json") == written
    assert type(settings)(**written) == settings


def test_an_unknown_setting_is_refused_with_what_it_may_have_meant():
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
    body = transfer_settings("linear", profiles=["puregen-linear", "puregen-lt-bench"])
    linear = transfer_settings("linear", profiles=["puregen-linear"])
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
    "wrong", [{"epochs": 0}, {"batch_size": 1}, {"width": 3}, {"schedule": "sawtooth"}, {"flips": True}]
)
def test_wrong_values_are_refused(wrong):
    with pytest.raises(SettingsError):
        build("fast", **wrong)


@pytest.mark.parametrize("of_body", [{"width": 8}, {"normalise": False}, {"bias_scaler": 2}, {"whitening_epochs": 1}])
def test_a_transfer_refuses_what_is_its_bodys(of_body):
    with pytest.raises(SettingsError, match=f"train --mode fine-tune has no setting '{next(iter(of_body))}'"):
        transfer_settings("fine-tune", overrides=of_body)
