"""The ranges that a `PocketUNet` in whole numbers needs: measuring them, and the small file beside the weights."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from unpoison.core.errors import ModelError
from unpoison.core.files import write_json
from unpoison.core.hashing import hash_file
from unpoison.nets.int8 import PRECISE, Int8Pocket, Range, ranged_layers
from unpoison.nets.pocket import PocketUNet
from unpoison.nets.preconditioned import PreconditionedDenoiser

_TAIL = 0.001  # share of values at either end that 8 bits need not hold
_TO_EXTREME = 0.75  # where a range ends, between that of the mean noise level and that of the most extreme


class RangesFile(BaseModel):
    """What lies beside the weights, as `NAME.int8.json`.

    Args:
        weights: sha256 of the weights file that the ranges are of.
        ranges: least and largest of what the convolutions take in, by their names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    weights: str
    ranges: dict[str, Range]


def quantise_denoiser(denoiser: object, weights: Path) -> PreconditionedDenoiser:
    """The same denoiser with its network in whole numbers.

    Args:
        denoiser: what `weights` holds, on the CPU.
        weights: its file; the ranges lie beside it.

    Raises:
        ModelError: it is another model than `pocket`, lies on another device, has no ranges or those of other weights,
            or this processor or torch has no such arithmetic.
    """
    if not isinstance(denoiser, PreconditionedDenoiser) or not isinstance(denoiser.net, PocketUNet):
        raise ModelError(f"{weights}: precision int8 is for denoisers of the architecture pocket; use --precision fp32")
    if next(denoiser.parameters()).device.type != "cpu":
        raise ModelError("precision int8 is for the CPU; use --device cpu, or --precision fp32")
    try:
        net = Int8Pocket(denoiser.net, _read(weights))
    except ModelError as error:
        raise ModelError(f"{weights}: precision int8: {error}; use --precision fp32") from None
    return PreconditionedDenoiser(
        net.eval().requires_grad_(False),
        sigma_min=denoiser.sigma_min,
        sigma_max=denoiser.sigma_max,
        field_max=denoiser.field_max,
        perturbation=denoiser.perturbation,
    )


def measure_ranges(
    denoiser: PreconditionedDenoiser, batches: Iterable[tuple[Tensor, Tensor, Tensor]]
) -> dict[str, Range]:
    """Ranges of what the convolutions take in.

    Rare large values appear under strong noise only. To cut some of them off costs it less than steps too coarse for
    them would cost where there is little noise.

    Args:
        denoiser: around a `PocketUNet`.
        batches: noisy training images [N, 3, H, W] with their sigma [N] and field [N], a noise level each.
    """
    assert isinstance(denoiser.net, PocketUNet)
    found: dict[str, list[Range]] = {}

    def watch(name: str, x: Tensor) -> None:
        tail = 1 if name in PRECISE else max(1, round(_TAIL * x.numel()))
        low, high = (float(x.flatten().topk(tail, largest=largest).values[-1]) for largest in (False, True))
        found.setdefault(name, []).append((low, high))

    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs, name=name: watch(name, inputs[0]))
        for name, layer in ranged_layers(denoiser.net).items()
    ]
    for x, sigma, field in batches:  # what draws them may need gradients
        with torch.inference_mode():
            denoiser.denoise(x, sigma, field)
    for hook in hooks:
        hook.remove()
    return {name: _join(name, ranges) for name, ranges in found.items()}


def write_ranges(weights: Path, ranges: dict[str, Range]) -> None:
    """Write the file beside the weights."""
    write_json(ranges_path(weights), RangesFile(weights=hash_file(weights), ranges=ranges).model_dump(mode="json"))


def _join(name: str, ranges: list[Range]) -> Range:
    low, high = torch.tensor(ranges, dtype=torch.float64).T
    share = 1.0 if name in PRECISE else _TO_EXTREME
    least, largest = low.mean().lerp(low.min(), share), high.mean().lerp(high.max(), share)
    return round(float(least), 4), round(float(largest), 4)


def _read(weights: Path) -> dict[str, Range]:
    path = ranges_path(weights)
    try:
        content = RangesFile.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ModelError("these weights have no ranges for it beside them") from None
    except ValidationError:
        raise ModelError(f"{path.name} does not hold ranges") from None
    if content.weights != hash_file(weights):
        raise ModelError(f"{path.name} belongs to other weights")
    return content.ranges


def ranges_path(weights: Path) -> Path:
    """The file of the ranges, beside the weights."""
    return weights.with_suffix(".int8.json")
