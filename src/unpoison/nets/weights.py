"""Weights files: reading strangers' safely, writing and reading our own."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from unpoison.core.errors import ModelError, SettingsError, UnsafeFileError
from unpoison.core.files import atomic_path
from unpoison.core.methods import load_method
from unpoison.nets.epsilon import EpsilonModel
from unpoison.nets.improved_diffusion import check_state
from unpoison.nets.methods import METHODS
from unpoison.nets.pixel_energy import PixelEnergy
from unpoison.nets.preconditioned import PreconditionedDenoiser
from unpoison.nets.published import import_published
from unpoison.nets.schedules import Schedule

_KEY = "unpoison"  # our one entry in the metadata of a safetensors file
_VERSION = 2
_WRAPPERS = ("net", "state_dict")

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
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: Literal["denoiser"] = "denoiser"
    sigma_min: float
    sigma_max: float
    field_max: float

    @classmethod
    def of(cls, model: PreconditionedDenoiser) -> DenoiserHeader:
        """What a file of this model says."""
        return cls(sigma_min=model.sigma_min, sigma_max=model.sigma_max, field_max=model.field_max)

    def describe(self) -> str:
        """What it was trained for, in a few words."""
        field = f", smooth fields to {255 * self.field_max:.0f}" if self.field_max else ""
        return f"trained for noise of {255 * self.sigma_min:.0f} to {255 * self.sigma_max:.0f}{field} (* 255)"

    def build(self, net: nn.Module) -> PreconditionedDenoiser:
        """The model around its network."""
        return PreconditionedDenoiser(net, sigma_min=self.sigma_min, sigma_max=self.sigma_max, field_max=self.field_max)


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
    state = read_torch_state(path)
    try:
        build = load_method(METHODS, header.architecture, kind="architecture")
        with torch.device("meta"):  # shapes first: a header must not make us allocate what the file does not hold
            check_state(state, {name: tensor.shape for name, tensor in build(**header.arguments).state_dict().items()})
        net = build(**header.arguments)
        net.load_state_dict(state)
        return header.model.build(net).eval()
    except (SettingsError, ModelError, TypeError, ValueError, RuntimeError) as error:
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
    except (SafetensorError, ValueError) as error:
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
        ModelError: the file is neither.
        UnsafeFileError: the file asks to run code.
    """
    if path.suffix == ".safetensors":
        return load_model(path)
    try:
        return import_published(read_torch_state(path), name=path.name)[0]
    except ModelError as error:
        raise ModelError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None


def read_torch_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a `.safetensors` file or of a torch checkpoint, on the CPU, without running any code.

    A wrapping `{"net": ...}` or `{"state_dict": ...}` and a `module.` before every name are taken off.

    Raises:
        ModelError: the file is missing, broken, or does not hold weights by name.
        UnsafeFileError: the file asks for objects that weights have no need of.
    """
    _check_exists(path)
    content = _load_safetensors(path) if path.suffix == ".safetensors" else _load_checked(path)
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content:
        raise ModelError(f"{path}: holds {type(content).__name__}, not weights by name")
    for name, value in content.items():
        if not isinstance(name, str) or not _is_plain(value):
            raise ModelError(f"{path}: entry {name!r} is a {type(value).__name__}, not a plain tensor")
    prefix = "module." if all(name.startswith("module.") for name in content) else ""
    return {name.removeprefix(prefix): value.detach() for name, value in content.items()}


def _header_of(model: Model) -> DiscreteHeader | DenoiserHeader | EnergyHeader:
    if isinstance(model, PixelEnergy):
        return EnergyHeader.of(model)
    return DiscreteHeader.of(model) if isinstance(model, EpsilonModel) else DenoiserHeader.of(model)


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        raise ModelError(f"{path}: not a readable safetensors file ({_first_line(error)})") from None


def _load_checked(path: Path) -> Any:
    try:
        _refuse_bomb(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnsafeFileError:
        raise
    except Exception as error:  # a hostile file can raise anything from inside torch
        # torch's own text is left out: it advises to switch the protection off.
        asked = re.search(r"GLOBAL (\S+)", str(error))
        if asked:
            raise UnsafeFileError(
                path, f"asks for {asked[1]}, which may run code", "Ask its author for plain tensors or safetensors"
            ) from None
        raise ModelError(f"{path}: not a readable file of weights: broken, or not written by torch.save") from None


def _refuse_bomb(path: Path) -> None:
    """torch.save stores its records as they are, side by side: they never hold more than the file."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unfolded = sum(member.file_size for member in archive.infolist())
    if unfolded > path.stat().st_size:
        raise UnsafeFileError(path, f"would unfold to {unfolded} bytes, more than it has", "Do not use this file")


def _is_plain(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided and not (value.is_meta or value.is_quantized)


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
