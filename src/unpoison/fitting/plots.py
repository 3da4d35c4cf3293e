"""Pictures of a fit: the loss over time, and denoised images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from unpoison.core.errors import MissingExtraError, require
from unpoison.core.files import atomic_path
from unpoison.core.images import ImageSet
from unpoison.core.pixels import to_float, to_uint8
from unpoison.fitting.inspecting import denoise_once, noise_levels
from unpoison.nets.protocols import Denoiser, DiscreteModel


def can_plot() -> bool:
    """Whether matplotlib is there."""
    try:
        require("matplotlib", extra="plots", purpose="drawing plots")
    except MissingExtraError:
        return False
    return True


def plot_losses(path: Path, curve: Sequence[tuple[int, float]]) -> None:
    """Draw the loss over the steps.

    Args:
        path: PNG to write.
        curve: (step, mean loss up to it since the last).
    """
    figure = _figure(6, 3.5)
    axes = figure.subplots()
    axes.plot(*zip(*curve, strict=True), linewidth=1)
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.grid(alpha=0.3)
    _save(figure, path)


def plot_denoising(
    path: Path, model: DiscreteModel | Denoiser, image_set: ImageSet, device: torch.device, *, images: int = 6
) -> None:
    """Draw images clean, and noisy and denoised at the noises the model was trained for.

    Args:
        path: PNG to write.
        model: on `device`.
        image_set: where the images come from; its first ones are drawn.
        device: where the model computes.
        images: how many.
    """
    rows = range(min(images, len(image_set)))
    clean = to_float(image_set.subset(rows).array()).to(device)
    pictures = [("clean", clean)]
    for sigma in noise_levels(model):
        noisy, denoised = denoise_once(model, clean, sigma, image_set.ids[: len(rows)])
        pictures += [(f"noise {255 * sigma:.3g}", noisy), ("denoised", denoised)]
    # One picture for all, white lines between: a plot of its own for each would take seconds.
    framed = [np.pad(to_uint8(batch), ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255) for _, batch in pictures]
    mosaic = np.concatenate([np.concatenate(list(column)) for column in framed], axis=1)
    height, width = framed[0].shape[1:3]
    figure = _figure(1.1 * len(pictures), 0.3 + 1.1 * len(rows) * height / width)
    axes = figure.subplots()
    axes.imshow(mosaic, interpolation="nearest")
    axes.set_xticks([(column + 0.5) * width for column in range(len(pictures))], [title for title, _ in pictures])
    axes.tick_params(bottom=False, labelbottom=False, labeltop=True, labelsize=7)
    axes.set_yticks([])
    _save(figure, path)


def _figure(width: float, height: float):
    # The figure is made without pyplot: no window system, no state shared with the user's own plots.
    module = require("matplotlib.figure", extra="plots", purpose="drawing plots")
    return module.Figure(figsize=(width, height), layout="constrained")


def _save(figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
