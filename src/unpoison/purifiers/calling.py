"""`unpoison.purify`: anything that holds pictures, purified and given back in the form it came in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unpoison.core.device import choose_device
from unpoison.core.errors import SettingsError
from unpoison.core.images import ArrayImageSet, ImageSet, row_ids
from unpoison.core.methods import load_method
from unpoison.data import read, read_history
from unpoison.data.loose_pictures import PictureListSet, from_pillow, to_pillow
from unpoison.data.objects import is_huggingface
from unpoison.purifiers.applying import Application
from unpoison.purifiers.building import purifier_settings
from unpoison.purifiers.methods import METHODS
from unpoison.purifiers.own_models import own_denoiser, own_device
from unpoison.purifiers.runner import purify_to
from unpoison.purifiers.work import PurifyRun

Apply = Callable[..., Application]


def purify(
    x: Any,
    method: str = "fast",
    *,
    seed: int = 0,
    device: str = "auto",
    model: Any = None,
    profile: str = "",
    out: str | PathLike[str] | None = None,
    **settings: Any,
) -> Any:
    """Purify pictures, in whatever form they are, and give them back in that form.

    Rows of one call have the noise of their row, or of their id where they have one: the same set gives the same bytes
    as an array, as a file or as a Dataset.

    >>> import numpy as np
    >>> pictures = np.full((2, 16, 16, 3), 200, np.uint8)
    >>> purify(pictures, "jpeg", quality=50).shape
    (2, 16, 16, 3)

    Args:
        x: a tensor [N, 3, H, W] or [3, H, W], float in [0, 1] or uint8; an array [N, H, W, 3] or [H, W, 3] alike; a
            Pillow image or a list of them, of any sizes; a `datasets.Dataset` with a column of pictures; an ImageSet;
            or what `read` reads: a path, or a torch Dataset of (picture, label). None is changed.
        method: a purifier, or several joined by `+`.
        seed: seed of all noise.
        device: where to compute; `auto` is where a tensor or a model in memory lies, else the fastest device.
        model: path of a file of weights; or, for `fast`, a model in memory: a function or nn.Module of noisy images
            [N, 3, H, W] in [0, 1] and sigma [N] that gives clean ones, a `CallableDenoiser` around one that says which
            sigma it is good for, or a pipeline of diffusers over RGB pixels.
        profile: names of profiles, or TOML files, joined by commas.
        out: file or folder to write a set to, with its manifest; can be resumed.
        **settings: fields of the method, e.g. `quality=10`; in a chain `**{"jpeg.quality": 10}`.

    Returns:
        The same kind, shape, type and device. Float results are clamped, not rounded to 8 bits, and cut off from the
        graph of gradients. Paths and torch Datasets give an ImageSet, with `out` that of the file.

    Raises:
        SettingsError: an unknown method or setting, or values that are no pictures.
        ModelError: a model is missing or does not fit.
        DataError: a file or row is bad.
    """
    run = PurifyRun(_settings(method, profile, model, settings), seed=seed)
    if out is not None:
        return _purify_into(x, Path(out), run, device, model)

    def apply(lies_on: torch.device | None = None) -> Application:
        chosen = choose_device(device)
        own = None if _is_path(model) else own_denoiser(model)
        where = own_device(model, device) if own else lies_on
        return Application(run, device=where if where is not None and device == "auto" else chosen, denoiser=own)

    if isinstance(x, Tensor):
        return _purify_tensor(x, apply)
    if isinstance(x, np.ndarray):
        return _purify_array(x, apply)
    if isinstance(x, Image.Image):
        return _purify_pillow([x], apply)[0]
    if isinstance(x, (list, tuple)) and all(isinstance(item, Image.Image) for item in x):
        return _purify_pillow(x, apply)
    image_set = read(x)
    if is_huggingface(x):
        from unpoison.data.huggingface import replace_pictures

        return replace_pictures(x, apply().purify_to_png(image_set), image_set.ids)
    return apply().purify_set(image_set)


def _settings(method: str, profile: str, model: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of every link; a path of a model goes to all links that have one."""
    overrides = {name: str(value) if isinstance(value, PathLike) else value for name, value in settings.items()}
    if model is not None and _is_path(model):
        links = [
            name
            for name in method.split("+")
            if "model" in load_method(METHODS, name, kind="purifier").Settings.model_fields
        ]
        if not links:
            raise SettingsError(f"method '{method}' uses no model; leave model= away")
        overrides.update({f"{link}.model": str(model) for link in links})
    return purifier_settings(method, profiles=profile.split(",") if profile else (), overrides=overrides)


def _is_path(model: Any) -> bool:
    return model is None or isinstance(model, (str, PathLike))


def _purify_into(x: Any, out: Path, run: PurifyRun, device: str, model: Any) -> ImageSet:
    if isinstance(x, (Tensor, np.ndarray, Image.Image)):
        raise SettingsError(f"out= is for sets with labels; a {type(x).__name__} has none: leave out= away")
    if not _is_path(model):
        raise SettingsError("out= needs the model as a file, whose hash the manifest keeps; write what purify returns")
    history = read_history(x) if isinstance(x, (str, PathLike)) else ()
    purify_to(read(x), out, run, device=device, history=history)
    return read(out)


def _purify_tensor(x: Tensor, apply: Apply) -> Tensor:
    lies_on = None if x.device.type == "cpu" else x.device
    batch = x.detach()[None] if x.ndim == 3 else x.detach()
    _check_shape(x, batch.ndim == 4 and batch.shape[1] == 3, "tensor [N, 3, H, W] or [3, H, W]")
    if x.dtype == torch.uint8:
        images = batch.permute(0, 2, 3, 1).cpu().numpy()
        purified = (
            torch.from_numpy(_purify_levels(images, apply(lies_on))).permute(0, 3, 1, 2).contiguous().to(x.device)
        )
    else:
        purified = _purify_floats(batch, apply, lies_on)
    return purified.reshape(x.shape)


def _purify_array(x: np.ndarray, apply: Apply) -> np.ndarray:
    batch = x[None] if x.ndim == 3 else x
    _check_shape(x, batch.ndim == 4 and batch.shape[3] == 3, "array [N, H, W, 3] or [H, W, 3]")
    if x.dtype == np.uint8:
        return _purify_levels(batch, apply()).reshape(x.shape)
    if x.dtype.kind != "f":
        raise SettingsError(f"pictures of {x.dtype} are not understood; give uint8, or float in [0, 1]")
    planes = torch.from_numpy(np.ascontiguousarray(batch.transpose(0, 3, 1, 2), np.float32))
    purified = _purify_floats(planes, apply, None).numpy().transpose(0, 2, 3, 1)
    return np.ascontiguousarray(purified, x.dtype).reshape(x.shape)


def _purify_floats(batch: Tensor, apply: Apply, lies_on: torch.device | None) -> Tensor:
    """[N, 3, H, W] of any float type, checked and purified, in that type."""
    if not batch.is_floating_point():
        raise SettingsError(f"pictures of {batch.dtype} are not understood; give uint8, or float in [0, 1]")
    low, high = (float(end) for end in batch.aminmax())  # NaN shows in both
    if not (low >= 0 and high <= 1):
        raise SettingsError(
            f"the pictures hold values from {low:.4g} to {high:.4g}; they must lie in [0, 1]: "
            "divide 8-bit levels by 255, and do not normalise"
        )
    return apply(lies_on).purify_floats(batch.float().contiguous()).to(batch.dtype)


def _purify_levels(images: np.ndarray, application: Application) -> np.ndarray:
    """[N, H, W, 3] uint8 to the same."""
    image_set = ArrayImageSet(images, np.full(len(images), -1), ids=row_ids(len(images)))
    return np.stack(list(application.purify_each(image_set)))


def _purify_pillow(images: Sequence[Image.Image], apply: Apply) -> list[Image.Image]:
    pictures = []
    for number, image in enumerate(images):
        try:
            pictures.append(from_pillow(image))
        except ValueError as error:
            raise SettingsError(f"picture {number}: {error}") from None
    image_set = PictureListSet(
        pictures, [-1] * len(pictures), class_names=(), ids=row_ids(len(pictures)), name="the list"
    )
    return [to_pillow(array) for array in apply().purify_each(image_set)]


def _check_shape(x: Tensor | np.ndarray, fits: bool, wanted: str) -> None:
    if not fits or 0 in x.shape:
        raise SettingsError(
            f"a {type(x).__name__} of shape {list(x.shape)} is not understood; give a non-empty {wanted}: "
            "grey pictures repeat their channel, tensors have channels first and arrays last"
        )
