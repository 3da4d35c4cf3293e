"""`unpoison.Purify`: purification as a transform of single pictures or batches."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import get_worker_info

from unpoison.core.device import same_bits
from unpoison.core.errors import SettingsError
from unpoison.core.picture import Picture
from unpoison.core.pixels import images_per_call, to_float, to_uint8
from unpoison.data.objects import is_picture
from unpoison.data.pictures.loose import from_object, to_pillow
from unpoison.public import AUTO
from unpoison.purifiers.chain import Chain, build_purifier
from unpoison.purifiers.methods import DEFAULT, load_purifier
from unpoison.purifiers.protocol import Purifier
from unpoison.runs.arguments import method_settings
from unpoison.runs.calls import purify_images
from unpoison.runs.run import PurifyRun
from unpoison.runs.tiling import tiles

_CPU = torch.device("cpu")
_COLUMNS = ("image", "img")


class Purify:
    """Purify pictures as they are loaded: one or a batch, given back as what it was.

    It goes where a function of a picture goes: into a `Compose` of torchvision, whose labels it passes through, into a
    Dataset or its DataLoader's workers, and into `map` and `set_transform` of Hugging Face's datasets, with rows or
    batches of them. It pickles as its settings alone; each process loads the network at the first picture. It computes
    where a tensor lies, else on the CPU, on one thread: workers are its threads.

    The noise of a picture is drawn by its id; without one by what its pixels are in 8 bits, so that equal pictures get
    equal noise and different ones different noise. With `fresh` it is new at every call: drawn by the number of the
    call in its process and, in a worker of a DataLoader, by the worker's seed, which torch draws anew each epoch. After
    `torch.manual_seed` a loader of a transform with a `seed` thus gives the same pictures again.

    Given the ids of a set and the seed of a run over it, 8-bit pictures become what the run makes of them, byte for
    byte, where it computes in int8 (the default on CPUs) or without a network. In fp32 and bf16 the last bits depend on
    how many pictures go together, and now and then a pixel differs by a level.

    >>> transform = Purify("jpeg", quality=50)
    >>> transform(Image.new("RGB", (16, 16))).size
    (16, 16)

    Args:
        method: a purifier, or several joined by `+`; none that needs the whole set, as `puregen-filt` does.
        seed: of all noise; if left out, a secret one from the system, drawn when the transform is made.
        fresh: draw new noise at every call.
        model: name or path of a file of weights.
        profile: names of profiles, or TOML files, joined by commas.
        **settings: fields of the method, e.g. `sigma="12/255"`; `**{"jpeg.quality": 10}` where several of a chain have
            the field.

    Raises:
        SettingsError: an unknown method or setting, or a method that needs the whole set.
    """

    def __init__(
        self,
        method: str = DEFAULT,
        *,
        seed: int | None = None,
        fresh: bool = False,
        model: str | PathLike[str] | None = None,
        profile: str = "",
        **settings: Any,
    ):
        if not isinstance(method, str):  # it goes to other processes, which look it up
            raise SettingsError("Purify takes methods by name; a class of yours is named package.module:Class")
        if method == AUTO:
            raise SettingsError("auto audits a whole set: use unpoison.purify on the set, or name a method")
        self.run = PurifyRun.seeded(method_settings(method, profile=profile, model=model, fields=settings), seed)
        self.fresh = fresh
        whole = [name for name in self.run.settings if load_purifier(name).needs_whole_set]
        if whole:
            raise SettingsError(f"method '{whole[0]}' looks at the whole set first: use unpoison.purify on the set")
        self._forget()

    def __call__(self, picture: Any, *others: Any, id: str | Sequence[str] | None = None) -> Any:  # noqa: A002
        """Purify a picture or a batch.

        Args:
            picture: a Pillow image; a uint8 array [H, W, 3] or [N, H, W, 3]; a tensor [3, H, W] or [N, 3, H, W], uint8
                or float in [0, 1]; a list of single ones, of any sizes; a tuple that begins with any of these, of which
                the rest is passed through; or a mapping such as a row, or batch of rows, of a Dataset: the pictures are
                under `image` or `img`, or are its only values that hold Pillow images.
            *others: passed through, such as a label.
            id: by which noise is drawn; one for each picture of a batch.

        Returns:
            The same kind, shape, type and device; a tuple with `others`, if there are any. Floats are clamped, not
            rounded to 8 bits. Pillow images in other modes come back in grey or RGB, with the transparency they had.

        Raises:
            SettingsError: it is no picture, or there is not one id for each.
            ModelError: a model is missing or does not fit.
        """
        if others:
            return (self(picture, id=id), *others)
        if isinstance(picture, tuple):
            return (self(picture[0], id=id), *picture[1:]) if picture else picture
        if isinstance(picture, Mapping):
            column = _picture_column(picture)
            return {**picture, column: self(picture[column], id=id)}
        if isinstance(picture, list):
            ids = _check_ids(id, len(picture))
            return [self._one_kind(item, [image_id]) for item, image_id in zip(picture, ids, strict=True)]
        if getattr(picture, "ndim", 3) == 4:
            return self._one_kind(picture, _check_ids(id, len(picture)))
        return self._one_kind(picture, [id] if isinstance(id, str) else _check_ids(id, 1))

    def _one_kind(self, picture: Any, ids: Sequence[str | None]) -> Any:
        """A picture or a batch of one size, purified; None for an id means by its pixels."""
        if isinstance(picture, Tensor):
            return self._tensor(picture, ids)
        if isinstance(picture, np.ndarray) and picture.ndim == 4:
            self._check(picture, picture.dtype == np.uint8 and picture.shape[3] == 3)
            return self._levels(picture, ids)
        if not isinstance(picture, (Image.Image, np.ndarray)):
            raise SettingsError(f"a {type(picture).__name__} is no picture; give a Pillow image, an array or a tensor")
        try:
            found: Picture = from_object(picture)
        except ValueError as error:
            raise SettingsError(str(error)) from None
        purified = found.restore(self._levels(found.rgb[None], ids)[0])
        return purified.reshape(picture.shape) if isinstance(picture, np.ndarray) else to_pillow(purified)

    def _tensor(self, x: Tensor, ids: Sequence[str | None]) -> Tensor:
        batch = x.detach().as_subclass(Tensor)
        batch = batch if batch.ndim == 4 else batch[None]
        self._check(x, batch.ndim == 4 and batch.shape[1] == 3)
        if x.dtype == torch.uint8:
            levels = self._levels(batch.permute(0, 2, 3, 1).cpu().numpy(), ids, device=x.device)
            purified = torch.from_numpy(levels).permute(0, 3, 1, 2).contiguous().to(x.device)
        else:
            if not (x.is_floating_point() and bool(((batch >= 0) & (batch <= 1)).all())):
                raise SettingsError(
                    f"a tensor of {x.dtype} holds no pictures unless in [0, 1]; do not normalise before"
                )
            floats = batch.float().contiguous()
            purified = self._floats(floats, self._name(to_uint8(floats), ids)).to(x.dtype)
        return purified.reshape(x.shape).as_subclass(type(x))

    def _levels(self, images: np.ndarray, ids: Sequence[str | None], *, device: torch.device = _CPU) -> np.ndarray:
        """[N, H, W, 3] uint8 to the same."""
        return to_uint8(self._floats(to_float(images).to(device), self._name(images, ids)))

    def _floats(self, images: Tensor, ids: Sequence[str]) -> Tensor:
        """[N, 3, H, W] float32 in [0, 1] to the same, in calls of as many images as there are."""
        purifier, run = self._purifier(images.device)
        purified = torch.empty_like(images)
        with same_bits(images.device):
            height, width = images.shape[2:]
            for tile in tiles(height, width, purifier.halo):
                call = min(len(images), images_per_call(run.microbatch, tile.area))
                window = images[:, :, *tile.window].contiguous()
                result = purify_images(purifier, window, ids, seed=run.seed, call=call, place=tile.place)
                purified[:, :, *tile.core] = result[:, :, *tile.inside].clamp(0, 1)
        return purified

    def _name(self, images: np.ndarray, ids: Sequence[str | None]) -> list[str]:
        """What the noise of each picture, [N, H, W, 3] uint8, is drawn by."""
        names = [_by_pixels(image) if name is None else name for image, name in zip(images, ids, strict=True)]
        if not self.fresh:
            return names
        worker = get_worker_info()
        call = f"{next(self._calls)}" if worker is None else f"{worker.seed}/{next(self._calls)}"
        return [f"{name}/fresh/{call}/{row}" for row, name in enumerate(names)]

    def _purifier(self, device: torch.device) -> tuple[Purifier | Chain, PurifyRun]:
        """The purifier for a device, loaded at the first use, and the run in the arithmetic of that device."""
        if str(device) not in self._loaded:
            run = self.run.resolved(device)
            self._loaded[str(device)] = build_purifier(run.settings, device=device), run
        return self._loaded[str(device)]

    def _forget(self) -> None:
        self._loaded: dict[str, tuple[Purifier | Chain, PurifyRun]] = {}
        self._calls = itertools.count()

    def __getstate__(self) -> dict[str, Any]:
        return {"run": self.run, "fresh": self.fresh}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def __repr__(self) -> str:
        return f"Purify({self.run.method!r}, seed={self.run.seed}{', fresh=True' if self.fresh else ''})"

    @staticmethod
    def _check(x: Tensor | np.ndarray, fits: bool) -> None:
        if not fits or 0 in x.shape:
            raise SettingsError(
                f"a {type(x).__name__} of {x.dtype} {list(x.shape)} holds no pictures; give a tensor [3, H, W] or "
                "[N, 3, H, W], or a uint8 array [H, W, 3] or [N, H, W, 3]"
            )


def _by_pixels(image: np.ndarray) -> str:
    """A name for a picture [H, W, 3] uint8 that equal ones share."""
    digest = hashlib.sha256(image.tobytes())
    return f"pixels/{image.shape[0]}x{image.shape[1]}/{digest.hexdigest()}"


def _check_ids(given: str | Sequence[str] | None, count: int) -> list[str | None]:
    if given is None:
        return [None] * count
    if not isinstance(given, (list, tuple)) or len(given) != count or not all(isinstance(one, str) for one in given):
        raise SettingsError(f"id={str(given)[:40]!r} does not name each of {count} pictures; give that many texts")
    return list(given)


def _picture_column(row: Mapping[str, Any]) -> str:
    """Under which name the pictures of a row, or of a batch of rows, lie."""
    named = [name for name in _COLUMNS if name in row and _holds(row[name], is_picture)]
    found = named or [name for name, value in row.items() if _holds(value, lambda one: isinstance(one, Image.Image))]
    if len(found) == 1 or named:
        return found[0]
    raise SettingsError(
        f"{len(found)} of the columns {', '.join(map(str, row))} hold pictures; "
        "call the transform on the one that is meant, or rename it to 'image'"
    )


def _holds(value: Any, test: Any) -> bool:
    return bool(value) and all(map(test, value)) if isinstance(value, list) else bool(test(value))
