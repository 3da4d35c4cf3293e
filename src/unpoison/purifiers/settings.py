"""Settings of the purifiers, apart from their code, so that a wrong one is refused before torch is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import Field, model_validator

from unpoison.core.chains import split_chain, split_fields
from unpoison.core.errors import SettingsError
from unpoison.core.methods import lent, load_method
from unpoison.core.own import Own
from unpoison.core.settings import (
    Bound,
    FileName,
    Precision,
    PrecisionOrInt8,
    Settings,
    bound_value,
    build_settings,
    list_profiles,
    read_profile,
)
from unpoison.core.suggestions import suggest
from unpoison.purifiers.methods import SETTINGS, load_purifier
from unpoison.purifiers.puregen.keys import parse_key

if TYPE_CHECKING:
    import torch

_ROOM = "unpoison.purifiers"
_INT8_FROM = 3 / 255  # below, the error of int8 is more than a hundredth above that of fp32: results/int8


class FastSettings(Settings):
    """Settings of the few-call purifier.

    Args:
        model: `pocket-free` or `pocket`, which come with the package, or the path of a diffusion model or denoiser.
        sigma: standard deviation of the white noise, in [0, 1] pixel units.
        field: rms of the smooth colour field added with it, which drowns what white noise leaves standing; both of them
            remove it together with the noise, other models leave it in the image.
        steps: noise levels visited; a network call each, two each but the last with `heun`.
        sampler: how the noise is removed; with one step both are one call.
        precision: arithmetic of the network calls: `fp32`, `bf16`, or `auto` for the faster one of the device; or
            `int8`, for both of them and denoisers fitted like them on a CPU, whose bytes are the same on every
            processor with AVX2, and which `auto` takes there.
    """

    model: FileName = "pocket-free"
    sigma: Bound = "25/255"
    field: Bound = "16/255"
    steps: int = Field(1, ge=1, le=100)
    sampler: Literal["ddim", "heun"] = "ddim"
    precision: PrecisionOrInt8 = "auto"

    def prefers_int8(self, device: torch.device) -> bool:
        from unpoison.purifiers.weights import has_int8

        return device.type == "cpu" and bound_value(self.sigma) >= _INT8_FROM and has_int8(self.model)


class EclipseSettings(Settings):
    """Settings of ECLIPSE's purification.

    Args:
        model: path of a diffusion model fitted on a sparse clean set.
        t: how far to noise, on the scale of the model's schedule; 100 of 4000 in the paper.
        steps: network calls, evenly spaced from t to 0; all t of them if left out.
        clip: clamp each estimate of the clean image to the pixel range.
        quantise: how the result becomes 8 bits; the reference floors, which darkens by half a level.
        precision: arithmetic of the network calls: `fp32`, `bf16`, or `auto` for the faster one of the device.
    """

    model: FileName = ""
    t: int = Field(100, ge=1, le=100_000)
    steps: int | None = Field(None, ge=1, le=100_000)
    clip: bool = True
    quantise: Literal["round", "floor"] = "round"
    precision: Precision = "auto"


class PuregenEbmSettings(Settings):
    """Settings of PureGen's purification by an energy model.

    Args:
        model: `ebm-small`, which comes with unpoison, or path of an energy model.
        steps: Langevin steps.
        temperature: tau; the gradient of the energy is multiplied by 0.0125^2 / (2 tau).
        precision: arithmetic of the network calls: `fp32`, `bf16`, or `auto` for the faster one of the device.
    """

    model: FileName = "ebm-small"
    steps: int = Field(150, ge=1, le=100_000)
    temperature: float = Field(1e-4, gt=0)
    precision: Precision = "auto"


class PuregenDdpmSettings(Settings):
    """Settings of PureGen's purification by a diffusion model.

    Args:
        model: `ddpm250-small`, which comes with unpoison, or path of a diffusion model; both it and the paper's know
            the first 250 of 1,000 steps.
        t: index to noise to, on the scale of the model's schedule; T_DDPM of the paper.
        steps: network calls, evenly spaced from t to 0; all t of them if left out.
        reverse_only: restore the image as it is, without noising it first.
        precision: arithmetic of the network calls: `fp32`, `bf16`, or `auto` for the faster one of the device.
    """

    model: FileName = "ddpm250-small"
    t: int = Field(75, ge=1, le=100_000)
    steps: int | None = Field(None, ge=1, le=100_000)
    reverse_only: bool = False
    precision: Precision = "auto"


class PuregenNaiveSettings(Settings):
    """Settings of PureGen's purification by both models.

    Args:
        energy: `ebm-small`, which comes with unpoison, or path of an energy model.
        model: `ddpm250-small`, which comes with unpoison, or path of a diffusion model.
        langevin_steps: steps on the energy; T_EBM of the paper.
        temperature: tau of the Langevin steps.
        t: index to noise to, on the scale of the diffusion model's schedule; T_DDPM of the paper.
        steps: calls of the diffusion model, evenly spaced from t to 0; all t of them if left out.
        precision: arithmetic of the network calls: `fp32`, `bf16`, or `auto` for the faster one of the device.
    """

    energy: FileName = "ebm-small"
    model: FileName = "ddpm250-small"
    langevin_steps: int = Field(150, ge=1, le=100_000)
    temperature: float = Field(1e-4, gt=0)
    t: int = Field(75, ge=1, le=100_000)
    steps: int | None = Field(None, ge=1, le=100_000)
    precision: Precision = "auto"


class PuregenRepsSettings(PuregenNaiveSettings):
    """Settings of PureGen's repeated purification.

    Args:
        langevin_steps: of each repetition.
        t: of each repetition.
        reps: how often; 5 in table 10 of the paper, 7 in the text of its appendix D.
    """

    langevin_steps: int = Field(10, ge=1, le=100_000)
    t: int = Field(50, ge=1, le=100_000)
    reps: int = Field(5, ge=1, le=100_000)


class PuregenFiltSettings(PuregenNaiveSettings):
    """Settings of PureGen's filtered purification.

    Args:
        fraction: share of the set that is purified; k of the paper.
        langevin_steps: 0 leaves the Langevin steps out; the energy model still ranks the images.
        t: 0 leaves the diffusion model out.
    """

    fraction: float = Field(0.5, ge=0, le=1)
    langevin_steps: int = Field(0, ge=0, le=100_000)
    t: int = Field(125, ge=0, le=100_000)

    @model_validator(mode="after")
    def _check_work(self) -> PuregenFiltSettings:
        if not self.langevin_steps and not self.t:
            raise ValueError("langevin_steps and t are both 0, so that nothing would be done")
        return self


class DVaeSettings(Settings):
    """Settings of D-VAE, which is trained on the set that it purifies.

    Args:
        epochs: of each of its two stages.
        batch_size: pictures of an update.
        learning_rate: of Adam at the start; it falls to 0.
        first_rate: length of a picture's description that costs the first stage nothing, in nats (of 1.44 bits) for
            each position of a grid of half its resolution.
        second_rate: that of the second stage, whose description is the result.
        rate_weight: cost of a nat beyond.
        perturbation_floor: mean square below which a perturbation costs nothing, in [0, 1] pixel units.
        grad_clip: largest length of a gradient.
        width: channels of the networks at full resolution; their work grows with its square.
    """

    epochs: int = Field(60, ge=1, le=10_000)
    batch_size: int = Field(128, ge=1, le=100_000)
    learning_rate: float = Field(0.005, gt=0)
    first_rate: float = Field(1.0, ge=0)
    second_rate: float = Field(3.0, ge=0)
    rate_weight: float = Field(0.01, ge=0)
    perturbation_floor: float = Field(0.002, ge=0)
    grad_clip: float = Field(5.0, gt=0)
    width: int = Field(64, ge=2, le=256, multiple_of=2)


class AvatarSettings(Settings):
    """Settings of the walk back through the diffusion's differential equation.

    Args:
        model: `pocket-free` or `pocket`, which come with the package, or path of a diffusion model or denoiser.
        t: time to noise to, 0.001 to 1, of which the model must know the noise. AVATAR takes 0.1, the noise of
            43/255; DiffPure 0.1 against bounds on the largest change and 0.075, 33/255, against those on the length.
        steps: network calls, evenly spaced; 1000 t of them, as published, if left out.
        precision: arithmetic of the network calls: `fp32`, `bf16`, or `auto` for the faster one of the device.
    """

    model: FileName = "pocket-free"
    t: float = Field(0.1, ge=0.001, le=1)
    steps: int | None = Field(None, ge=1, le=100_000)
    precision: Precision = "auto"


class OrthogonalProjectionSettings(Settings):
    """Settings of the orthogonal projection.

    Args:
        updates: of the linear classifier, 1 to 100,000; 980 are the published 20 epochs of 50,000 pictures, and small
            sets need as many.
        batch_size: pictures of an update, at least 1; all if there are fewer.
        learning_rate: above 0, in pixels of [0, 1]; a tenth after half of the updates, a hundredth after three
            quarters.
    """

    updates: int = Field(980, ge=1, le=100_000)
    batch_size: int = Field(1024, ge=1, le=100_000)
    learning_rate: float = Field(0.1, gt=0)


class EqualiseSettings(Settings):
    """Settings of the equalisation.

    Args:
        rounds: how often the spectrum is measured and corrected, 1 to 20.
        limit: most that a frequency is amplified or weakened by, above 1.
    """

    rounds: int = Field(3, ge=1, le=20)
    limit: float = Field(12, gt=1, le=1000)


def purifier_settings(
    method: str, *, profiles: Sequence[str] = (), overrides: Mapping[str, Any] | None = None
) -> dict[str, Settings]:
    """Settings of every link of a method.

    Args:
        method: a purifier, or several joined by `+`, each at most once; or a data key of PureGen, such as
            `EBM[Steps[150]]_DDPM[T[75]]`, of which the counts are taken and the models are left to the settings.
        profiles: profiles of the room, which have a section for each purifier; or paths of a user's own, which hold the
            fields themselves.
        overrides: `field` to value. In a chain that is `purifier.field` where several of its purifiers have the field.

    Returns:
        link name -> settings, in order.

    Raises:
        SettingsError: an unknown purifier, profile or field.
    """
    if "[" in method:
        found = parse_key(method)
        method, overrides = found.method, {**found.settings, **(overrides or {})}
    names = split_chain(method)
    fields: dict[str, Any] = {}
    for given in (*(_profile_fields(profile, names) for profile in profiles), overrides or {}):
        fields.update({_whose(key, names): value for key, value in given.items()})
    per_link = split_fields(method, fields, kind="purifier")
    for name, own_fields in per_link.items():
        own = lent("purifier", name)
        if isinstance(own, Own) and not own.is_class and own_fields:
            raise SettingsError(f"'{name}' is given as an object, which has its settings; give the class to set fields")
    return {name: build_settings(settings_model(name), overrides=given, of=name) for name, given in per_link.items()}


def _profile_fields(profile: str, names: Sequence[str]) -> dict[str, Any]:
    """What a profile sets: a shipped one, for every purifier of a chain that it has a section for."""
    meant = [name for name in names if profile in list_profiles(_ROOM, section=name)]
    if meant:
        found = {name: read_profile(profile, _ROOM, section=name) for name in meant}
        return {f"{name}.{key}": value for name, fields in found.items() for key, value in fields.items()}
    told = next(
        (name for name in names if list_profiles(_ROOM, section=name)), names[0]
    )  # whose profiles an error lists
    return read_profile(profile, _ROOM, section=told)


def _whose(key: str, names: Sequence[str]) -> str:
    """A field of a chain with its purifier before it, where it is not there."""
    if len(names) == 1 or "." in key:
        return key
    fields = {name: settings_model(name).model_fields for name in names}
    owners = [f"{name}.{key}" for name in names if key in fields[name]]
    if len(owners) > 1:
        raise SettingsError(f"setting '{key}': '{'+'.join(names)}' has {' and '.join(owners)}; write which")
    if not owners:
        known = [f"{name}.{field}" for name in names for field in fields[name]]
        raise SettingsError(f"'{'+'.join(names)}' has no setting '{key}'{suggest(key, known)}")
    return owners[0]


def settings_model(name: str) -> type[Settings]:
    """The settings model of one purifier.

    Raises:
        SettingsError: there is no such purifier.
    """
    shipped = name in SETTINGS  # one from elsewhere has them with it
    found = load_method(SETTINGS, name, kind="purifier") if shipped else load_purifier(name).Settings
    return cast(type[Settings], found)
