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
from unpoison.core.progress import OnStep, StepInfo
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.run import PurifyRun

SIDE = 32  # pixels; what the shipped denoiser was fitted on
FITTED = 4000  # pictures from which probes learn: their time grows with the cube
_MIRRORED = 24  # pixels; smaller pictures are enlarged
_GREY_AND_COLOURS = torch.nn.functional.normalize(torch.tensor([[1.0, 1, 1], [1, -1, 0], [1, 1, -2]]))
_CALL = 1024
_FAINT = 0.5 / 255  # rounding to 8 bits: weaker frequencies are not amplified
# By these weights clean sets were measured, which every audit compares with.
_DENOISER = {"model": "pocket", "sigma": "26/255", "field": "0"}


@dataclass(frozen=True)
class View:
    """Pictures of a set as evidence sees them, in the order of the set.

    Args:
        images: [N, 32, 32, 3] uint8.
        residuals: [N, 32, 32, 3] int16, in levels of 255: what one call of the denoiser takes from each picture.
        again: [M, 32, 32, 3] int16: what a second call takes from what the first one left, of the pictures that probes
            learn from. Little that was put in is still there, so it says how much of the class fine structure holds.
        labels: [N] class indices, none below 0.
        class_names: a name for each index.
    """

    images: np.ndarray
    residuals: np.ndarray
    again: np.ndarray
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
        """Rows from which probes learn, ascending."""
        return fitted_rows(self.labels)

    def pixels(self, rows: np.ndarray | slice) -> Tensor:
        """[n, 3, 32, 32] float32 in [0, 1] of some pictures."""
        return to_float(self.images[rows])

    def removed(self, rows: np.ndarray | slice) -> Tensor:
        """[n, 3, 32, 32] float32 in [-1, 1]: the residuals of some pictures."""
        return planes(self.residuals[rows])

    @cached_property
    def _power(self) -> Tensor:
        spectrum = _spectrum(self.removed(self.fitted))
        return spectrum.abs().pow(2).mean(dim=0).add_(_FAINT**2).sqrt_()

    @cached_property
    def white(self) -> Tensor:
        """[N, 3, 32, 32] float32: residuals with every frequency of grey and of two colours equally strong.

        Nature leaves most in the grey of low frequencies, so what was put into the others stands out.
        """
        white = torch.empty(self.images.shape[0], 3, SIDE, SIDE)
        for start in range(0, len(white), _CALL):
            rows = slice(start, start + _CALL)
            white[rows] = self._whitened(self.removed(rows))
        return white

    def white_again(self) -> Tensor:
        """[M, 3, 32, 32] float32: the same of what the second call takes."""
        return self._whitened(planes(self.again))

    def _whitened(self, differences: Tensor) -> Tensor:
        white: Tensor = torch.fft.irfft2(_spectrum(differences) / self._power, s=(SIDE, SIDE), norm="ortho")
        return white


def _spectrum(differences: Tensor) -> Tensor:
    """[n, 3, 32, 17] complex: of grey and of two colours."""
    spectrum: Tensor = torch.fft.rfft2(torch.einsum("kc,nchw->nkhw", _GREY_AND_COLOURS, differences), norm="ortho")
    return spectrum


def planes(levels: np.ndarray) -> Tensor:
    """[n, 3, H, W] float32 in [-1, 1] of differences [n, H, W, 3] in levels of 255."""
    return torch.from_numpy(np.ascontiguousarray(levels.transpose(0, 3, 1, 2), np.float32)).div_(255)


def fitted_rows(labels: np.ndarray) -> np.ndarray:
    """Of every class its share, evenly over the set: at most 4,000 rows, ascending."""
    order = np.argsort(labels, kind="stable")
    chosen = np.linspace(0, len(order) - 1, min(len(order), FITTED)).astype(np.int64)
    return np.sort(order[chosen])


def shrunk(picture: np.ndarray) -> np.ndarray:
    """The whole of a picture in small: coarse structure is seen.

    Returns:
        [32, 32, 3] uint8.
    """
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX))


def middle(picture: np.ndarray) -> np.ndarray:
    """The middle of a picture as it is: fine structure is seen. One of 24 to 31 pixels is mirrored at its borders.

    Returns:
        [32, 32, 3] uint8.
    """
    if min(picture.shape[:2]) < _MIRRORED:
        return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    short = [max(SIDE - side, 0) for side in picture.shape[:2]]
    picture = np.pad(picture, [*((side // 2, side - side // 2) for side in short), (0, 0)], mode="reflect")
    top, left = ((side - SIDE) // 2 for side in picture.shape[:2])
    return picture[top : top + SIDE, left : left + SIDE]


def load_views(image_set: ImageSet, on_step: OnStep | None = None) -> dict[str, np.ndarray]:
    """Pictures of 32x32 for each view of a set: `detail`, and `whole` where that is not the same.

    Args:
        image_set: pictures of any sizes.
        on_step: called as pictures are read.

    Returns:
        name -> [N, 32, 32, 3] uint8.
    """
    cuts = {"detail": middle}
    if any(max(size) > SIDE for size in image_set.sizes):
        cuts["whole"] = shrunk
    views = {name: np.empty((len(image_set), SIDE, SIDE, 3), np.uint8) for name in cuts}

    for row in range(len(image_set)):
        picture = image_set.pixels(row)
        for name, cut in cuts.items():
            views[name][row] = cut(picture)
        if on_step is not None:
            on_step(StepInfo(row + 1, len(image_set)))
    return views


def make_view(shown: ArrayImageSet, *, device: str = "auto", on_step: OnStep | None = None) -> View:
    """Denoise the pictures once, and some of them twice.

    Args:
        shown: pictures of 32x32, each with a class; every class has some.
        device: where to compute.
        on_step: called as pictures are done.
    """
    residuals = _residuals(shown, device, on_step)
    rows = fitted_rows(shown.labels)
    left = (shown.images[rows] - residuals[rows]).astype(np.uint8)
    again = _residuals(ArrayImageSet(left, shown.labels[rows], ids=[shown.ids[row] for row in rows]), device, None)
    return View(shown.images, residuals, again, shown.labels, tuple(shown.class_names))


def _residuals(shown: ArrayImageSet, device: str, on_step: OnStep | None) -> np.ndarray:
    run = PurifyRun(purifier_settings("fast", overrides=_DENOISER))
    denoised, _ = purify_in_memory(shown, run, device=device, on_step=on_step)
    residuals: np.ndarray = shown.images.astype(np.int16) - denoised.images
    return residuals
