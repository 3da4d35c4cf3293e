"""Settings of a training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from unpoison.core.settings import Settings


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
        precision: `fp32`, or `bf16` for the forward pass (weights stay fp32).
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
    precision: Literal["fp32", "bf16"] = "bf16"
    normalise: bool = True
    crop_padding: int = Field(default=4, ge=0)
    flip: bool = True
    grayscale_probability: float = Field(default=0.0, ge=0, le=1)
    noise_sigma: float = Field(default=0.0, ge=0)
    test_every: int = Field(default=5, ge=1)
    width: int = Field(default=64, ge=4, multiple_of=4)
