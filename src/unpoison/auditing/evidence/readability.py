"""Readability: how well a probe names the class from pictures, from what a denoiser takes of them, and from little."""

from __future__ import annotations

import numpy as np
from torch.nn import functional as F

from unpoison.auditing.evidence.protocol import Evidence
from unpoison.auditing.probes import Reading, read_classes
from unpoison.auditing.textures import texture_features
from unpoison.auditing.views import View

_QUANTILES = (0.5, 0.9, 0.99, 0.999)
_ALL = slice(None)


def measure_residuals(view: View) -> Evidence:
    """What is removed should say little of the class; where it says much, something was put in to be learned."""
    return _evidence(read_classes(view.removed(_ALL).flatten(1), view.labels, view.fitted))


def measure_residual_textures(view: View) -> Evidence:
    """The same for fine structure wherever in the picture it is."""
    return _evidence(read_classes(texture_features(view.removed, len(view)), view.labels, view.fitted))


def measure_images(view: View) -> Evidence:
    """The class read from the pictures themselves: what is natural is hard for a linear probe."""
    return _evidence(read_classes(view.pixels(_ALL).flatten(1), view.labels, view.fitted))


def measure_textures(view: View) -> Evidence:
    """The class read from the texture of the pictures themselves."""
    return _evidence(read_classes(texture_features(view.pixels, len(view)), view.labels, view.fitted))


def measure_coarse(view: View) -> Evidence:
    """The class read from 4x4 pixels, from the mean colour, and from one channel alone."""
    pixels = view.pixels(_ALL)
    values = {}
    features = {f"side_{side}": F.adaptive_avg_pool2d(pixels, side).flatten(1) for side in (1, 2, 4, 8)}
    features.update({f"channel_{name}": pixels[:, number].flatten(1) for number, name in enumerate("rgb")})
    for name, shown in features.items():
        values[name] = read_classes(shown, view.labels, view.fitted).advantage
    return Evidence(values)


def _evidence(reading: Reading) -> Evidence:
    margins = reading.margins
    tail = {f"margin_{quantile}": float(np.quantile(margins, quantile)) for quantile in _QUANTILES}
    by_class = np.array([margins[reading.labels == label].mean() for label in range(reading.labels.max() + 1)])
    return Evidence({"advantage": reading.advantage, **tail}, margins.astype(np.float32), by_class.astype(np.float32))
