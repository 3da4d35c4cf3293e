"""Weights files: reading strangers' safely, writing and reading our own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from unpoison.core.errors import ModelError, SettingsError
from unpoison.core.files import atomic_path
from unpoison.core.methods import load_method
from unpoison.data.safe.checkpoints import read_state
from unpoison.nets.epsilon import EpsilonModel
from unpoison.nets.improved_diffusion import check_state
from unpoison.nets.methods import METHODS
from unpoison.nets.pixel_energy import PixelEnergy
from unpoison.nets.preconditioned import PreconditionedDenoiser
from unpoison.nets.published import import_published
from unpoison.nets.rebuilding import build_unfilled, parameters_at_most
from unpoison.nets.schedules import Schedule

_KEY = "unpoison"  # our one entry in the metadata of a safetensors file
_VERSION = 2
# What a network may answer to arguments from a file.
_UNFIT = (
    TypeError,
    ValueError,
    RuntimeError,
    ArithmeticError,
    LookupError,
    AttributeError,
    AssertionError,
    RecursionError,
)

DiffusionModel = EpsilonModel | PreconditionedDenoiser
Model = DiffusionModel | PixelEnergy


class DiscreteHeader(BaseModel):
    """Header of an `EpsilonModel`.

    Args:
        form: tells the forms apart.
        schedule: noise schedule it was trained with.
        time_scale: factor from index to the network's time input.
        max_index: largest index it was trained for.
        learned_variance: whether the network gives v.
        largest_variance: what it walks back with if not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: Literal["discrete"] = "discrete"
    schedule: Schedule
    time_scale: float
    max_index: int
    learned_variance: bool
    largest_variance: bool = False

    @classmethod
    def of(cls, model: EpsilonModel) -> DiscreteHeader:
        """What a file of this model says."""
        return cls(
            schedule=model.schedule,
            time_scale=model.time_scale,
            max_index=model.max_index,
            learned_variance=model.learned_variance,
            largest_variance=model.largest_variance,
        )

    def describe(self) -> str:
        """What it was trained for, in a few words."""
        return f"trained to index {self.max_index} of {self.schedule.name}-{self.schedule.steps}"

    def build(self, net: nn.Module) -> EpsilonModel:
        """The model around its network."""
        return EpsilonModel(
            net,
            schedule=self.schedule,
            time_scale=self.time_scale,
            max_index=self.max_index,
            learned_variance=self.learned_variance,
            largest_variance=self.largest_variance,
        )


class DenoiserHeader(BaseModel):
    """Header of a `PreconditionedDenoiser`.

    Args:
        form: tells the forms apart.
        sigma_min: smallest white noise it was trained for, in [0, 1] pixel units.
        sigma_max: largest.
        field_max: largest rms of a smooth field.
        perturbation: rms of perturbations that it was taught to remove; 0 if none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: Literal["denoiser"] = "denoiser"
    sigma_min: float
    sigma_max: float
    field_max: float
    perturbation: float = 0.0

    @classmethod
    def of(cls, model: PreconditionedDenoiser) -> DenoiserHeader:
        """What a file of this model says."""
        return cls(
            sigma_min=model.sigma_min,
            sigma_max=model.sigma_max,
            field_max=model.field_max,
            perturbation=model.perturbation,
        )

    def describe(self) -> str:
        """What it was trained for, in a few words."""
        field = f", smooth fields to {255 * self.field_max:.0f}" if self.field_max else ""
        below = f", over perturbations of {255 * self.perturbation:.0f}" if self.perturbation else ""
        return f"trained for noise of {255 * self.sigma_min:.0f} to {255 * self.sigma_max:.0f}{field}{below} (* 255)"

    def build(self, net: nn.Module) -> PreconditionedDenoiser:
        """The model around its network."""
        return PreconditionedDenoiser(
            net,
            sigma_min=self.sigma_min,
            sigma_max=self.sigma_max,
            field_max=self.field_max,
            perturbation=self.perturbation,
        )


class EnergyHeader(BaseModel):
    """Header of a `PixelEnergy`, which has nothing to tell beyond its network.

    Args:
        form: tells the forms apart.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: Literal["energy"] = "energy"

    @classmethod
    def of(cls, model: PixelEnergy) -> EnergyHeader:
        """What a file of this model says."""
        return cls()

    def describe(self) -> str:
        """What it is, in a few words."""
        return "energy of images"

    def build(self, net: nn.Module) -> PixelEnergy:
        """The model around its network."""
        return PixelEnergy(net)


class WeightsHeader(BaseModel):
    """What a weights file of ours says of itself.

    Args:
        version: of this layout.
        architecture: name in `nets.methods`.
        arguments: keyword arguments that rebuild the network.
        model: what the network is a part of.
        kind: raw weights, or their exponential moving average.
        settings: how it was trained, for people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = _VERSION
    architecture: str
    arguments: dict[str, Any]
    model: DiscreteHeader | DenoiserHeader | EnergyHeader = Field(discriminator="form")
    kind: Literal["raw", "ema"]
    settings: dict[str, Any]


def save_model(
    path: Path,
    model: Model,
    *,
    architecture: str,
    arguments: Mapping[str, Any],
    kind: Literal["raw", "ema"],
    settings: Mapping[str, Any],
    dtype: torch.dtype | None = None,
) -> None:
    """Write a model as safetensors that `load_model` can rebuild, in one piece or not at all.

    Args:
        path: file to write, `.safetensors`.
        model: the model.
        architecture: name in `nets.methods`.
        arguments: keyword arguments that rebuild the network, fit for JSON.
        kind: raw weights, or their exponential moving average.
        settings: how it was trained, fit for JSON.
        dtype: precision of the stored tensors; their own if left out.
    """
    header = WeightsHeader(
        architecture=architecture,
        arguments=dict(arguments),
        model=_header_of(model),
        kind=kind,
        settings=dict(settings),
    )
    state = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in model.net.state_dict().items()}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(state, metadata={_KEY: header.model_dump_json()}))


def load_model(path: Path) -> Model:
    """Rebuild a model that `save_model` wrote, on the CPU, in fp32 and in evaluation mode.

    Raises:
        ModelError: the file is missing, not ours, of another version, or its weights do not fit its architecture.
    """
    header = read_header(path)
    state = read_state(path)
    try:
        build = load_method(METHODS, header.architecture, kind="architecture")
        # Shapes first, and hardly more than in the file: a header must not make us build what the file does not hold.
        with torch.device("meta"), parameters_at_most(2 * len(state) + 100):
            check_state(state, {name: tensor.shape for name, tensor in build(**header.arguments).state_dict().items()})
        net = build_unfilled(build, **header.arguments)
        net.load_state_dict(state)
        return header.model.build(net).eval()
    except (SettingsError, ModelError, *_UNFIT) as error:
        raise ModelError(f"{path}: {_first_line(error)}") from None


def read_header(path: Path) -> WeightsHeader:
    """What a weights file of ours says of itself, without reading the weights.

    Raises:
        ModelError: the file is missing, not ours, or of another version.
    """
    _check_exists(path)
    try:
        with safe_open(path, framework="pt") as file:
            fields = json.loads((file.metadata() or {})[_KEY])
    except KeyError:
        raise ModelError(
            f"{path}: these weights say nothing of their network; bring published ones in with `unpoison models import`"
        ) from None
    except (SafetensorError, ValueError, OSError, RecursionError) as error:
        raise ModelError(f"{path}: not a readable safetensors file ({_first_line(error)})") from None
    version = fields.get("version") if isinstance(fields, dict) else None
    if version != _VERSION:
        raise ModelError(f"{path}: weights layout {version!r}, this unpoison reads {_VERSION}; use a matching version")
    try:
        return WeightsHeader.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"{path}: header field {field}: {first['msg']}") from None
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def load_any(path: Path) -> Model:
    """Load a model from a file of ours (`.safetensors`), or from a published checkpoint (any other name).

    Raises:
        ModelError: the file is missing, or its weights are of no known network.
        DataError: it cannot be read as weights.
        UnsafeFileError: the file asks to run code.
    """
    if path.suffix == ".safetensors":
        return load_model(path)
    _check_exists(path)
    try:
        return import_published(read_state(path), name=path.name)[0]
    except ModelError as error:
        raise ModelError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None


def _header_of(model: Model) -> DiscreteHeader | DenoiserHeader | EnergyHeader:
    if isinstance(model, PixelEnergy):
        return EnergyHeader.of(model)
    return DiscreteHeader.of(model) if isinstance(model, EpsilonModel) else DenoiserHeader.of(model)


def _check_exists(path: Path) -> None:
    if path.is_dir() or path.parts[:1] == ("hf:",):
        source = path.as_posix().replace("hf:/", "hf://", 1)  # a Path turns hf://owner/name into hf:/owner/name
        raise ModelError(
            f"{path}: not a file of weights; bring the model in with `unpoison models import {source} --out FILE`"
        )
    if not path.is_file():
        raise ModelError(f"{path}: there is no such file")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
