"""Pictures in memory, purified and given back in the form they came in: arrays, tensors, Pillow images, lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unpoison.core.errors import SettingsError
from unpoison.core.images import ArrayImageSet, row_ids
from unpoison.data.pictures.loose import list_pictures, to_pillow
from unpoison.runs.in_memory import Application

# Gives what purifies; takes where the pictures lie, if it matters.
Apply = Callable[..., Application]


def purify_tensor(x: Tensor, apply: Apply) -> Tensor:
    """Purify [N, 3, H, W] or [3, H, W], uint8 or float in [0, 1]; shape, type and device stay.

    Raises:
        SettingsError: another shape or type, or values outside [0, 1].
    """
    data_device = None if x.device.type == "cpu" else x.device
    batch = x.detach()[None] if x.ndim == 3 else x.detach()
    _check_shape(x, batch.ndim == 4 and batch.shape[1] == 3, "tensor [N, 3, H, W] or [3, H, W]")
    if x.dtype == torch.uint8:
        images = batch.permute(0, 2, 3, 1).cpu().numpy()
        purified = (
            torch.from_numpy(_purify_levels(images, apply(data_device))).permute(0, 3, 1, 2).contiguous().to(x.device)
        )
    else:
        purified = _purify_floats(batch, apply, data_device)
    return purified.reshape(x.shape)


def purify_array(x: np.ndarray, apply: Apply) -> np.ndarray:
    """Purify [N, H, W, 3] or [H, W, 3], uint8 or float in [0, 1]; shape and type stay.

    Raises:
        SettingsError: another shape or type, or values outside [0, 1].
    """
    batch = x[None] if x.ndim == 3 else x
    _check_shape(x, batch.ndim == 4 and batch.shape[3] == 3, "array [N, H, W, 3] or [H, W, 3]")
    if x.dtype == np.uint8:
        return _purify_levels(batch, apply()).reshape(x.shape)
    if x.dtype.kind != "f":
        raise SettingsError(f"pictures of {x.dtype} are not understood; give uint8, or float in [0, 1]")
    planes = torch.from_numpy(np.ascontiguousarray(batch.transpose(0, 3, 1, 2), np.float32))
    purified = _purify_floats(planes, apply, None).numpy().transpose(0, 2, 3, 1)
    return np.ascontiguousarray(purified, x.dtype).reshape(x.shape)


def _purify_floats(
    batch: Tensor, apply: Apply, data_device: torch.device | None, ids: Sequence[str] | None = None
) -> Tensor:
    """[N, 3, H, W] of any float type, checked and purified, in that type."""
    if not batch.is_floating_point():
        raise SettingsError(f"pictures of {batch.dtype} are not understood; give uint8, or float in [0, 1]")
    low, high = (float(end) for end in batch.aminmax())  # NaN shows in both
    if not (low >= 0 and high <= 1):
        raise SettingsError(
            f"the pictures hold values from {low:.4g} to {high:.4g}; they must lie in [0, 1]: "
            "divide 8-bit levels by 255, and do not normalise"
        )
    return apply(data_device).purify_floats(batch.float().contiguous(), ids=ids).to(batch.dtype)


def _purify_levels(images: np.ndarray, application: Application) -> np.ndarray:
    """[N, H, W, 3] uint8 to the same."""
    image_set = ArrayImageSet(images, np.full(len(images), -1), ids=row_ids(len(images)))
    return np.stack(list(application.purify_each(image_set)))


def purify_list(items: Sequence[Any], apply: Apply) -> list[Any]:
    """Purify pictures of any sizes, each an array, a tensor or a Pillow image, and give them back as they came.

    Raises:
        SettingsError: one is no picture.
    """
    purified: list[Any] = [None] * len(items)
    ids = row_ids(len(items))
    floats = [row for row, item in enumerate(items) if _is_float(item)]
    levels = sorted(set(range(len(items))).difference(floats))
    if levels or not items:
        image_set = list_pictures([items[row] for row in levels], levels)
        for row, array in zip(levels, apply().purify_each(image_set), strict=True):
            purified[row] = _like(items[row], array)
    batches: dict[tuple[int, ...], list[int]] = {}
    for row in floats:
        batches.setdefault(_planes(items[row]).shape, []).append(row)
    for rows in batches.values():
        batch = torch.stack([_planes(items[row]).cpu() for row in rows])
        for row, planes in zip(rows, _purify_floats(batch, apply, None, [ids[row] for row in rows]), strict=True):
            item = items[row]
            purified[row] = (
                planes.permute(1, 2, 0).numpy().astype(item.dtype)
                if isinstance(item, np.ndarray)
                else planes.to(item.device, item.dtype)
            )
    return purified


def _is_float(item: Any) -> bool:
    return item.is_floating_point() if isinstance(item, Tensor) else getattr(item, "dtype", np.dtype(bool)).kind == "f"


def _planes(item: Tensor | np.ndarray) -> Tensor:
    """A float picture as [3, H, W] float32."""
    if isinstance(item, Tensor):
        _check_shape(item, item.ndim == 3 and item.shape[0] == 3, "tensor [3, H, W]")
        return item.detach().float()
    _check_shape(item, item.ndim == 3 and item.shape[2] == 3, "array [H, W, 3]")
    return torch.from_numpy(np.ascontiguousarray(item.transpose(2, 0, 1), np.float32))


def _like(item: Any, array: np.ndarray) -> Any:
    """[H, W, C] uint8 in the form of the picture that it was made from."""
    if isinstance(item, Tensor):
        return torch.from_numpy(array.copy()).permute(2, 0, 1).contiguous().to(item.device)
    return array.reshape(item.shape) if isinstance(item, np.ndarray) else to_pillow(array)


def _check_shape(x: Tensor | np.ndarray, fits: bool, wanted: str) -> None:
    if not fits or 0 in x.shape:
        raise SettingsError(
            f"a {type(x).__name__} of shape {list(x.shape)} is not understood; give a non-empty {wanted}: "
            "grey pictures repeat their channel, tensors have channels first and arrays last"
        )
