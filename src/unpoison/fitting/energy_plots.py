"""Pictures of an energy model's fit: energies over time, and where the chains stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from unpoison.core.pixels import to_uint8
from unpoison.fitting.blow_ups import Rollback
from unpoison.fitting.charts import new_figure, save_figure

Curve = Sequence[tuple[int, float]]
_COLUMNS = 8  # pictures of the bank in a row


def plot_energies(path: Path, curves: Mapping[str, Curve], gradient: Curve, rollbacks: Sequence[Rollback]) -> None:
    """Draw energies above the norm of the gradient, with a line where the fit went back.

    Args:
        path: PNG to write.
        curves: mean energies by what they are of: (update, mean up to it since the last).
        gradient: norm of the gradient, likewise.
        rollbacks: returns to an earlier state.
    """
    figure = new_figure(6, 5)
    above, below = figure.subplots(2, 1, sharex=True)
    for name, curve in curves.items():
        above.plot(*zip(*curve, strict=True), linewidth=1, label=name)
    below.plot(*zip(*gradient, strict=True), linewidth=1, color="black")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        for number, rollback in enumerate(rollbacks):
            label = "went back" if number == 0 else None
            axes.axvline(rollback.to, color="red", linestyle="--", linewidth=1, label=label)
    above.set(ylabel="energy")
    above.legend(fontsize=8)
    below.set(xlabel="update", ylabel="norm of the gradient", yscale="log")
    save_figure(figure, path)


def plot_bank(path: Path, images: Tensor) -> None:
    """Draw images that the chains of the bank have reached.

    Args:
        path: PNG to write.
        images: [N, C, H, W] in units of [-1, 1].
    """
    pictures = to_uint8((images.float() + 1) / 2)
    framed = np.pad(pictures, ((0, -len(pictures) % _COLUMNS), (1, 1), (1, 1), (0, 0)), constant_values=255)
    height, width = framed.shape[1:3]
    rows = framed.reshape(-1, _COLUMNS, height, width, 3)
    mosaic = rows.transpose(0, 2, 1, 3, 4).reshape(-1, _COLUMNS * width, 3)
    figure = new_figure(6, 6 * mosaic.shape[0] / mosaic.shape[1])
    axes = figure.subplots()
    axes.imshow(mosaic, interpolation="nearest")
    axes.set_axis_off()
    save_figure(figure, path)
