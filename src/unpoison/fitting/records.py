"""Records of a fit: what it is known by, its weights, and how they came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import torch

from unpoison.core.device import describe_device, versions
from unpoison.core.errors import SettingsError
from unpoison.core.files import write_json
from unpoison.core.hashing import hash_file, hash_json
from unpoison.core.images import ImageSet
from unpoison.core.precision import Resolved, resolve
from unpoison.core.targets import check_file
from unpoison.fitting.checkpoints import begun_fit, checkpoint_path
from unpoison.fitting.networks import STORED
from unpoison.fitting.settings import OptimiserSettings
from unpoison.nets.shipped import check_model, weights_path
from unpoison.nets.weights import Model, save_model

_CURVE_POINTS = 500
_CHANGE_NOTHING = ("checkpoint_every", "plots", "stored")  # a fit may go on with other values of these

S = TypeVar("S", bound=OptimiserSettings)


def check_output(out: Path) -> None:
    """Refuse a weights file that could not be written, before anything is computed.

    Raises:
        SettingsError: its name does not end in `.safetensors`.
        RunError: it is a folder, or its place may not be written.
    """
    if out.suffix != ".safetensors":
        raise SettingsError(f"weights are written as .safetensors; choose such a name instead of '{out.name}'")
    check_file(out, example="net.safetensors")


def identify(image_set: ImageSet, settings: OptimiserSettings, seed: int) -> dict[str, Any]:
    """All that decides the weights, as it stands in their file and in the record."""
    data = {"name": image_set.name, "images": len(image_set), "hash": image_set.content_hash}
    identity = {"settings": settings.described(), "seed": seed, "data": data}
    if settings.start:
        check_model(settings.start)
        identity["start"] = hash_file(weights_path(settings.start))
    return identity


def fingerprint(identity: Mapping[str, Any]) -> str:
    """Hash of an identity, equal for fits that may go on from each other's checkpoints."""
    settings = {name: value for name, value in identity["settings"].items() if name not in _CHANGE_NOTHING}
    return hash_json({"settings": settings, "seed": identity["seed"], "data": identity["data"]["hash"]})


def settle_precision(settings: S, out: Path, image_set: ImageSet, seed: int, device: torch.device) -> S:
    """Settings with the arithmetic in place of `auto`: what an unfinished fit was begun with, else the device's.

    Args:
        settings: of the fit.
        out: the weights that it will write, beside which its checkpoint may lie.
        image_set: what it is fitted on.
        seed: of the fit.
        device: where it computes.
    """
    begun = begun_fit(checkpoint_path(out)) if settings.precision == "auto" else None
    candidates = (settings.model_copy(update={"precision": precision}) for precision in get_args(Resolved))
    found = (known for known in candidates if begun == fingerprint(identify(image_set, known, seed)))
    return resolve(next(found, settings) if begun else settings, device)


def write_fit(
    path: Path,
    model: Model,
    settings: OptimiserSettings,
    *,
    identity: dict[str, Any],
    device: torch.device,
    facts: Mapping[str, Any],
) -> None:
    """Write the weights `X.safetensors` and the record `X.fit.json`.

    Args:
        path: of the weights.
        model: of the averaged weights.
        settings: of the fit.
        identity: of the fit; goes into both.
        device: where it was computed.
        facts: what else the record says, as JSON.
    """
    save_model(
        path,
        model,
        architecture=settings.architecture,
        arguments=settings.arguments,
        kind="ema" if settings.ema_decay else "raw",
        settings=identity,
        dtype=STORED[settings.stored],
    )
    known = {"weights": hash_file(path), "versions": versions(), "device": describe_device(device)}
    write_json(path.with_suffix(".fit.json"), {**identity, **known, **facts})


def thin_curve(values: Sequence[float], points: int = _CURVE_POINTS) -> list[tuple[int, float]]:
    """A long curve in few points: (step, mean since the point before).

    Examples:
        >>> thin_curve([4.0, 2.0, 1.0], points=2)
        [(2, 3.0), (3, 1.0)]
    """
    width = -(-len(values) // points) or 1
    ends = [min(start + width, len(values)) for start in range(0, len(values), width)]
    return [(end, sum(values[start:end]) / (end - start)) for start, end in zip([0, *ends], ends, strict=False)]
