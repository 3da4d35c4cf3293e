"""Folders of published models, as diffusers and the Hub lay them out. Reading them runs no code."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from unpoison.core.documents import read_json
from unpoison.core.errors import ModelError
from unpoison.data.safe.checkpoints import read_state
from unpoison.nets.epsilon import EpsilonModel
from unpoison.nets.noise_unets import PUREGEN_SCHEDULE, import_described_unet, puregen_max_index
from unpoison.nets.schedules import Schedule

# The whole ones first: halves are what is left where only they were downloaded.
_UNET_WEIGHTS = tuple(
    f"diffusion_pytorch_model{variant}.{suffix}" for variant in ("", ".fp16") for suffix in ("safetensors", "bin")
)
_ENERGY_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def published_weights(folder: Path) -> Path:
    """The one file of weights of a published model.

    Raises:
        ModelError: there is none.
    """
    return _first(folder, "unet", *_UNET_WEIGHTS, *_ENERGY_WEIGHTS)


def is_pipeline(folder: Path) -> bool:
    """Whether a folder holds a UNet, and not some other model."""
    return published_weights(folder).name in _UNET_WEIGHTS


def import_pipeline(
    folder: Path, *, name: str = "", max_index: int | None = None
) -> tuple[EpsilonModel, str, dict[str, Any]]:
    """Build the diffusion model of an unconditional pipeline over RGB pixels, with the schedule that it brings.

    The folder holds `config.json` and weights, or has them in `unet`; likewise `scheduler_config.json`, which those of
    PureGen lack.

    Args:
        folder: where it lies.
        name: under which it was published, if that is not the folder's name.
        max_index: largest index it was trained for. If left out, it is the last of the schedule, but 249, or N - 1
            after a name with `DDPM[N]`, for models of PureGen.

    Returns:
        The model in evaluation mode, the name of its architecture in `nets.methods`, and the arguments of that.

    Raises:
        ModelError: a file is missing, the weights do not fit their description, or the pipeline is of another kind.
    """
    name = name or folder.name
    found = [path for part in ("scheduler", "") if (path := folder / part / "scheduler_config.json").is_file()]
    scheduler = _read_json(found[0]) if found else {}
    schedule = _schedule_of(scheduler, found[0]) if found else PUREGEN_SCHEDULE
    if max_index is None:
        from_puregen = not found or "puregen" in name.lower() or "DDPM[" in name
        max_index = puregen_max_index(name) if from_puregen else schedule.steps - 1
    weights = published_weights(folder)
    config = _unet_config(_first(folder, "unet", "config.json"))
    try:
        return import_described_unet(
            read_state(weights),
            config,
            schedule=schedule,
            max_index=max_index,
            largest_variance=scheduler.get("variance_type") == "fixed_large",
        )
    except ModelError as error:
        raise ModelError(f"{weights}: {str(error).removeprefix(f'{weights}: ')}") from None


def _first(folder: Path, part: str, *names: str) -> Path:
    paths = [place / name for place in (folder / part, folder) for name in names]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise ModelError(f"{folder} holds none of {', '.join(names)}; name the folder of a published model")
    return found


def _unet_config(path: Path) -> dict[str, Any]:
    config = _read_json(path)
    kind = config.get("_class_name", "UNet2DModel")
    if kind != "UNet2DModel":
        raise ModelError(f"{path} describes a {kind}; only UNet2DModel is known")
    return {name: value for name, value in config.items() if not name.startswith("_")}


def _schedule_of(config: dict[str, Any], path: Path) -> Schedule:
    """Our name for the schedule of a scheduler of diffusers."""
    prediction = config.get("prediction_type", "epsilon")
    if prediction != "epsilon":
        raise ModelError(f"{path}: the network predicts '{prediction}'; only 'epsilon', the noise, is understood")
    kind, steps = config.get("beta_schedule"), config.get("num_train_timesteps")
    if isinstance(steps, int) and not config.get("trained_betas") and not config.get("rescale_betas_zero_snr"):
        if kind == "squaredcos_cap_v2":
            return Schedule("cosine", steps)
        start, end = config.get("beta_start", 1e-4), config.get("beta_end", 0.02)
        if kind == "linear" and math.isclose(start * steps, 0.1) and math.isclose(end * steps, 20):
            return Schedule("linear", steps)
    raise ModelError(
        f"{path}: the schedule '{kind}' of {steps} steps is none of ours, linear and cosine; "
        "from Python, unpoison.purify(..., model=pipeline) takes any"
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not readable JSON ({str(error).splitlines()[0]})") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path}: holds no description of a model")
    return content
