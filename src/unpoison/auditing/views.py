"""Views of a set: pictures of one size, what a denoiser removes from each, and its class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.core.pixels import to_float
from unpoison.core.progress import OnStep
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.run import PurifyRun

SIDE = 32  # pixels; what the shipped denoiser was fitted on
FITTED = 4000  # pictures from which probes learn: their time grows with the cube
_DENOISER = {"sigma": "26/255", "field": "0"}


@dataclass(frozen=True)
class View:
    """Pictures of a set as evidence sees them, in the order of the set.

    Args:
        images: [N, 32, 32, 3] uint8.
        residuals: [N, 32, 32, 3] int16, in levels of 255: what one call of the denoiser takes from each picture.
        labels: [N] class indices, none below 0.
        class_names: a name for each index.
    """

    images: np.ndarray
    residuals: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @cached_property
    def fitted(self) -> np.ndarray:
        """Rows from which probes learn, ascending: of every class its share, evenly over the set."""
        order = np.argsort(self.labels, kind="stable")
        chosen = np.linspace(0, len(order) - 1, min(len(order), FITTED)).astype(np.int64)
        return np.sort(order[chosen])

    def pixels(self, rows: np.ndarray | slice) -> Tensor:
        """[n, 3, 32, 32] float32 in [0, 1] of some pictures."""
        return to_float(self.images[rows])

    def removed(self, rows: np.ndarray | slice) -> Tensor:
        """[n, 3, 32, 32] float32 in [-1, 1]: the residuals of some pictures."""
        planes = np.ascontiguousarray(self.residuals[rows].transpose(0, 3, 1, 2), np.float32)
        return torch.from_numpy(planes).div_(255)


def shrunk(picture: np.ndarray) -> np.ndarray:
    """The whole of a picture in small: coarse structure is seen.

    Returns:
        [32, 32, 3] uint8.
    """
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX))


def make_view(image_set: ImageSet, images: np.ndarray, *, device: str = "auto", on_step: OnStep | None = None) -> View:
    """Denoise the pictures once.

    Args:
        image_set: the set, for its classes and ids.
        images: [N, 32, 32, 3] uint8, one for each of its pictures.
        device: where to compute.
        on_step: called as pictures are done.
    """
    shown = ArrayImageSet(images, image_set.labels, class_names=image_set.class_names, ids=image_set.ids)
    run = PurifyRun(purifier_settings("fast", overrides=_DENOISER))
    denoised, _ = purify_in_memory(shown, run, device=device, on_step=on_step)
    residuals = images.astype(np.int16) - denoised.images
    return View(images, residuals, image_set.labels, image_set.class_names)
