"""Pictures of a fit: the loss over time, and denoised images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from unpoison.core.images import ImageSet
from unpoison.core.pixels import to_uint8
from unpoison.fitting.charts import new_figure, save_figure
from unpoison.fitting.inspecting import denoise_once, noise_levels, to_show
from unpoison.nets.protocols import Denoiser, DiscreteModel

_ROWS = 6  # images that are drawn denoised


def plot_losses(path: Path, curve: Sequence[tuple[int, float]]) -> None:
    """Draw the loss over the steps.

    Args:
        path: PNG to write.
        curve: (step, mean loss up to it since the last).
    """
    figure = new_figure(6, 3.5)
    axes = figure.subplots()
    axes.plot(*zip(*curve, strict=True), linewidth=1)
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.grid(alpha=0.3)
    save_figure(figure, path)


def plot_denoising(path: Path, model: DiscreteModel | Denoiser, image_set: ImageSet, device: torch.device) -> None:
    """Draw images clean, and noisy and denoised at the noises the model was trained for.

    Args:
        path: PNG to write.
        model: on `device`.
        image_set: where the images come from; its first ones are drawn.
        device: where the model computes.
    """
    rows = range(min(_ROWS, len(image_set)))
    clean = to_show(image_set.subset(rows)).to(device)
    pictures = [("clean", clean)]
    for sigma in noise_levels(model):
        noisy, denoised = denoise_once(model, clean, sigma, image_set.ids[: len(rows)])
        pictures += [(f"noise {255 * sigma:.3g}", noisy), ("denoised", denoised)]
    # One picture for all, white lines between: a plot of its own for each would take seconds.
    framed = [np.pad(to_uint8(batch), ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255) for _, batch in pictures]
    mosaic = np.concatenate([np.concatenate(list(column)) for column in framed], axis=1)
    height, width = framed[0].shape[1:3]
    figure = new_figure(1.1 * len(pictures), 0.3 + 1.1 * len(rows) * height / width)
    axes = figure.subplots()
    axes.imshow(mosaic, interpolation="nearest")
    axes.set_xticks([(column + 0.5) * width for column in range(len(pictures))], [title for title, _ in pictures])
    axes.tick_params(bottom=False, labelbottom=False, labeltop=True, labelsize=7)
    axes.set_yticks([])
    save_figure(figure, path)
