"""Settings of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import Field, SerializeAsAny, SerializerFunctionWrapHandler, model_serializer, model_validator

from unpoison.classify.defences.settings import gather_defences, split_profiles
from unpoison.core.settings import Precision, Settings, build_settings

ROOM = "unpoison.classify"
T = TypeVar("T", bound="LoopSettings")

# What training from scratch and transfer both got when the trials on record were made already.
_LATER = frozenset({"reflect", "alternating_flip", "cutout", "lookahead"})


class LoopSettings(Settings):
    """What the loop of every training reads.

    Args:
        epochs: passes over the training set.
        batch_size: images per step.
        optimiser: `sgd`, or `adam`, which takes no momentum.
        learning_rate: the peak where the schedule moves it.
        momentum: of SGD.
        nesterov: look ahead with the momentum.
        weight_decay: on every parameter.
        schedule: `constant`; `one-cycle` (rises over a fifth of the steps, then falls to 0, both in a line); `triangle`
            (from 0.2 to 1 over 23 % of the steps, then down to 0.07, as airbench); or `cosine` (from 1 to 0).
        decay_epochs: epochs after which the learning rate falls to a tenth.
        lookahead: steps between two updates of the slow weights; 0 for none.
        label_smoothing: share of the target spread over all classes.
        precision: of the forward pass: `fp32`, `bf16`, or `auto` for the faster one of the device. Weights stay fp32.
        crop_padding: pixels added on each side before a random crop; 0 for none.
        reflect: crop out of a frame that mirrors the picture, not out of a black one.
        flip: mirror half of the images.
        alternating_flip: mirror an image in every second epoch, half of them first; in place of by chance.
        grayscale_probability: share of images turned grey, drawn anew each epoch (`p` of ECLIPSE).
        noise_sigma: deviation of the Gaussian noise added to each image, in [0, 1] units (`sigma` of ECLIPSE).
        cutout: side in pixels of a square that gets the mean colour; 0 for none.
        test_every: epochs between tests; the last epoch is always tested.
        defence: settings of each defence at train time by its name, in order; may be given as names joined by `+`, with
            single settings as `name.field`.
    """

    # Written only where one of them was named: the trials made before they came keep their ids.
    _later: ClassVar[frozenset[str]] = _LATER

    epochs: int = Field(default=15, ge=1)
    batch_size: int = Field(default=128, ge=2)
    optimiser: Literal["sgd", "adam"] = "sgd"
    learning_rate: float = Field(default=0.2, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = True
    weight_decay: float = Field(default=5e-4, ge=0)
    schedule: Literal["constant", "one-cycle", "triangle", "cosine"] = "one-cycle"
    decay_epochs: tuple[int, ...] = ()
    lookahead: int = Field(default=0, ge=0)
    label_smoothing: float = Field(default=0.2, ge=0, lt=1)
    precision: Precision = "auto"
    crop_padding: int = Field(default=4, ge=0)
    reflect: bool = False
    flip: bool = True
    alternating_flip: bool = False
    grayscale_probability: float = Field(default=0.0, ge=0, le=1)
    noise_sigma: float = Field(default=0.0, ge=0, le=1)
    cutout: int = Field(default=0, ge=0)
    test_every: int = Field(default=5, ge=1)
    defence: dict[str, SerializeAsAny[Settings]] = Field(default={})

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, values: Any) -> Any:
        return gather_defences(values) if isinstance(values, Mapping) else values

    @model_validator(mode="after")
    def _check_warm_up(self) -> Self:
        for name, own in self.defence.items():
            if (warm_up := getattr(own, "warm_up", 0)) >= self.epochs:
                raise ValueError(
                    f"{name}.warm_up={warm_up} is not below epochs={self.epochs}, so that {name} would do nothing"
                )
        return self

    @model_serializer(mode="wrap")
    def _write(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        unnamed = set(self._later) if self._later.isdisjoint(self.model_fields_set) else set()
        unnamed |= set() if self.defence else {"defence"}
        return {name: value for name, value in write(self).items() if name not in unnamed}


class TrainSettings(LoopSettings):
    """How a classifier is trained from scratch. The defaults are those of the profile `fast`.

    Args:
        normalise: subtract the training set's channel means and divide by their deviations, inside the net.
        width: channels of the net's first stage; 64 gives the published nets.
        bias_scaler: how many times faster SGD moves the biases of the normalisation layers in HLB nets.
        whitening_epochs: epochs in which the bias of a whitening layer learns, where the net has such a layer.
    """

    _later: ClassVar[frozenset[str]] = _LATER | {"optimiser", "decay_epochs", "bias_scaler", "whitening_epochs"}

    normalise: bool = True
    width: int = Field(default=64, ge=4, multiple_of=4)
    bias_scaler: float = Field(default=1.0, gt=0)
    whitening_epochs: int = Field(default=3, ge=1)


class TransferSettings(LoopSettings):
    """How a body is transferred. The defaults are those of the poisoning benchmark; profiles have PureGen's."""

    epochs: int = Field(default=40, ge=1)
    learning_rate: float = Field(default=0.01, gt=0)
    nesterov: bool = False
    weight_decay: float = Field(default=2e-4, ge=0)
    schedule: Literal["constant", "one-cycle", "triangle", "cosine"] = "constant"
    decay_epochs: tuple[int, ...] = (30,)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    test_every: int = Field(default=20, ge=1)


def default_profile(model: str) -> str:
    """The profile that an architecture is trained by from scratch if none is named: `airbench94` needs its own.

    Its stem is whitened, and by `fast` it would stay random.
    """
    return "airbench" if model == "airbench94" else "fast"


def scratch_settings(*, profiles: Sequence[str] = (), overrides: Mapping[str, Any] | None = None) -> TrainSettings:
    """Settings of a training from scratch.

    Args:
        profiles: names of profiles of this room, or paths of TOML files.
        overrides: values that win over all profiles.

    Raises:
        SettingsError: an unknown profile or field, or a value out of range.
    """
    return _training_settings(TrainSettings, profiles, overrides, of="train")


def transfer_settings(
    mode: str, *, profiles: Sequence[str] = (), overrides: Mapping[str, Any] | None = None
) -> TransferSettings:
    """Settings of a transfer.

    Args:
        mode: `linear` or `fine-tune`, for messages.
        profiles: names of profiles of this room, or paths of TOML files.
        overrides: values that win over all profiles.

    Raises:
        SettingsError: an unknown profile or field, or a value out of range.
    """
    return _training_settings(TransferSettings, profiles, overrides, of=f"train --mode {mode}")


def _training_settings(model: type[T], profiles: Sequence[str], overrides: Mapping[str, Any] | None, *, of: str) -> T:
    """Settings of a training; the defences that are profiles come after those that are named."""
    values = dict(overrides or {})
    if isinstance(chain := values.get("defence"), str):
        more, values["defence"] = split_profiles(chain)
        profiles = [*profiles, *more]
    return build_settings(model, profiles=profiles, room=ROOM, overrides=values, of=of)
