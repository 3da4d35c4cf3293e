"""Settings of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from unpoison.core.settings import Precision, Settings, build_settings, read_profile

ROOM = "unpoison.classify"


class TrainSettings(Settings):
    """How a classifier is trained. The defaults are those of the profile `fast`.

    Args:
        epochs: passes over the training set.
        batch_size: images per step.
        learning_rate: of SGD; the peak where the schedule moves it.
        momentum: of SGD.
        nesterov: look ahead with the momentum.
        weight_decay: of SGD, on every parameter.
        schedule: `constant`, or `one-cycle` (rises over a fifth of the steps, then falls to 0, both in a line).
        label_smoothing: share of the target spread over all classes.
        precision: of the forward pass: `fp32`, `bf16`, or `auto` for the faster one of the device. Weights stay fp32.
        normalise: subtract the training set's channel means and divide by their deviations, inside the net.
        crop_padding: black pixels added on each side before a random crop; 0 for none.
        flip: mirror half of the images.
        grayscale_probability: share of images turned grey, drawn anew each epoch (`p` of ECLIPSE).
        noise_sigma: deviation of the Gaussian noise added to each image, in [0, 1] units (`sigma` of ECLIPSE).
        test_every: epochs between tests; the last epoch is always tested.
        width: channels of the net's first stage; 64 gives the published nets.
    """

    epochs: int = Field(default=15, ge=1)
    batch_size: int = Field(default=128, ge=2)
    learning_rate: float = Field(default=0.2, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = True
    weight_decay: float = Field(default=5e-4, ge=0)
    schedule: Literal["constant", "one-cycle"] = "one-cycle"
    label_smoothing: float = Field(default=0.2, ge=0, lt=1)
    precision: Precision = "auto"
    normalise: bool = True
    crop_padding: int = Field(default=4, ge=0)
    flip: bool = True
    grayscale_probability: float = Field(default=0.0, ge=0, le=1)
    noise_sigma: float = Field(default=0.0, ge=0, le=1)
    test_every: int = Field(default=5, ge=1)
    width: int = Field(default=64, ge=4, multiple_of=4)


class ScratchSettings(TrainSettings):
    """What other papers' trainings from scratch need besides. Each default leaves the training as it is without.

    Args:
        optimiser: `sgd`, or `adam`, which takes no momentum.
        schedule: as before; or `triangle` (from 0.2 to 1 over 23 % of the steps, then down to 0.07, as airbench), or
            `cosine` (from 1 to 0).
        decay_epochs: epochs after which the learning rate falls to a tenth.
        bias_scaler: how many times faster SGD moves the biases of the normalisation layers in HLB nets.
        reflect: crop out of a frame that mirrors the picture, not out of a black one.
        alternating_flip: mirror an image in every second epoch, half of them first; in place of by chance.
        cutout: side in pixels of a square that gets the mean colour; 0 for none.
        lookahead: steps between two updates of the slow weights; 0 for none.
        whitening_epochs: epochs in which the bias of a whitening layer learns, where the net has such a layer.
    """

    optimiser: Literal["sgd", "adam"] = "sgd"
    schedule: Literal["constant", "one-cycle", "triangle", "cosine"] = "one-cycle"  # type: ignore[assignment]
    decay_epochs: tuple[int, ...] = ()
    bias_scaler: float = Field(default=1.0, gt=0)
    reflect: bool = False
    alternating_flip: bool = False
    cutout: int = Field(default=0, ge=0)
    lookahead: int = Field(default=0, ge=0)
    whitening_epochs: int = Field(default=3, ge=1)


def default_profile(model: str) -> str:
    """The profile that an architecture is trained by from scratch if none is named: `airbench94` needs its own.

    Its stem is whitened, and by `fast` it would stay random.
    """
    return "airbench" if model == "airbench94" else "fast"


def scratch_settings(*, profiles: Sequence[str] = (), overrides: Mapping[str, Any] | None = None) -> TrainSettings:
    """Settings of a training from scratch: `ScratchSettings` where something is set that `TrainSettings` lack.

    Args:
        profiles: names of profiles of this room, or paths of TOML files.
        overrides: values that win over all profiles.

    Raises:
        SettingsError: an unknown profile or field, or a value out of range.
    """
    named = {
        field for profile in profiles for field in read_profile(profile, ROOM, model=ScratchSettings, of="train")
    }.union(overrides or ())
    model = TrainSettings if named <= TrainSettings.model_fields.keys() else ScratchSettings
    return build_settings(model, profiles=profiles, room=ROOM, overrides=overrides, of="train")
